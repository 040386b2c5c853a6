/** The suites, as they come from the registry, and what one run of one of them found. */
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Era } from "../test/fixtures/conformance/http.ts"
import * as Program from "./program.ts"

/** One of them. */
export interface Suite {
  readonly name: string
  readonly folder: "conformance-0.1" | "conformance-0.2"
  readonly args: ReadonlyArray<string>
  /** The fixture that speaks the suite's revision. */
  readonly era: Era
  /** How many scenarios have to pass. */
  readonly count: number
  /** Those that have to pass are the ones that this revision requires, of the more that run; all that run without it. */
  readonly requirements?: string
}

/** All of them, in the order of the table. */
export const suites: ReadonlyArray<Suite> = [
  { name: "0.1.16 all", folder: "conformance-0.1", args: ["--suite", "all"], era: "legacy", count: 32 },
  {
    name: "0.2.0-alpha.12 2025-11-25",
    folder: "conformance-0.2",
    args: ["--requirements", "2025-11-25"],
    era: "legacy",
    count: 33
  },
  {
    name: "0.2.0-alpha.12 2026-07-28",
    folder: "conformance-0.2",
    args: ["--requirements", "2026-07-28"],
    era: "modern",
    count: 37,
    requirements: "2026-07-28"
  }
]

/** What one scenario came to. */
export interface Scenario {
  readonly name: string
  /** Undefined where it passed. */
  readonly failure: string | undefined
  readonly passed: number
  readonly failed: number
}

/** What one run of a suite came to. */
export interface Outcome {
  /** Those that have to pass. */
  readonly scenarios: ReadonlyArray<Scenario>
  /** Those that run beside them. */
  readonly others: ReadonlyArray<Scenario>
  /** Why there are not as many as there should be. */
  readonly trouble: string | undefined
}

/** Runs one against a URL, with the suite's own results in the directory. */
export const run = Effect.fnUntraced(function* (suite: Suite, url: string, directory: string, seconds: number) {
  const script = path.join(modules, suite.folder, "dist/index.js")
  const ended = yield* Program.run([script, "server", "--url", url, ...suite.args, "-o", directory]).pipe(
    Effect.timeoutOption(`${seconds} seconds`)
  )
  const required = requiredBy(suite)
  const [scenarios, others] = [[], []] as [Array<Scenario>, Array<Scenario>]
  for (const scenario of read(directory)) {
    ;(required === undefined || required.has(scenario.name) ? scenarios : others).push(scenario)
  }
  const trouble =
    ended._tag === "None"
      ? `no end after ${seconds} s`
      : scenarios.length === suite.count
        ? undefined
        : `${scenarios.length} scenarios of ${suite.count} ran: ${ended.value.err.trim().split("\n").at(-1) ?? ""}`
  return { scenarios, others, trouble } satisfies Outcome
})

interface Check {
  readonly status: "SUCCESS" | "FAILURE" | "WARNING" | "SKIPPED" | "INFO"
  readonly id: string
  readonly errorMessage?: string
}

const modules = path.join(import.meta.dirname, "node_modules")

/** As the suites count: a scenario fails where a check of it fails, and a warning is none. */
const read = (directory: string): ReadonlyArray<Scenario> =>
  (fs.existsSync(directory) ? fs.readdirSync(directory) : []).flatMap((folder) => {
    const name = /^server-(.+)-\d{4}-\d{2}-\d{2}T[\d-]+Z$/.exec(folder)?.[1]
    if (name === undefined) return []
    const file = path.join(directory, folder, "checks.json")
    if (!fs.existsSync(file)) return [{ name, failure: "it did not end", passed: 0, failed: 1 }]
    const checks = JSON.parse(fs.readFileSync(file, "utf8")) as ReadonlyArray<Check>
    const failures = checks.filter(({ status }) => status === "FAILURE")
    const [first] = failures
    return [
      {
        name,
        failure: first && (first.errorMessage ?? first.id),
        passed: checks.filter(({ status }) => status === "SUCCESS").length,
        failed: failures.length
      }
    ]
  })

/** The list `server:` of the suite's own file. */
const requiredBy = ({ folder, requirements }: Suite): ReadonlySet<string> | undefined => {
  if (requirements === undefined) return undefined
  const yaml = fs.readFileSync(path.join(modules, folder, "requirements", `${requirements}.yaml`), "utf8")
  const [, list = ""] = /^server:\n((?: {2}- .+\n)+)/m.exec(yaml) ?? []
  return new Set(list.match(/[\w-]{2,}/g))
}
