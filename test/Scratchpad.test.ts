/** The examples run as they stand, print what they promise, and leave nothing behind; the README shows no other code. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Processes from "./support/Processes.ts"
import * as TestPool from "./support/TestPool.ts"

const root = path.resolve(import.meta.dirname, "..")
const scratchpad = path.join(root, "scratchpad")

/** Runs an example in a home of its own, which everything that it starts inherits. */
const run = Effect.fnUntraced(function* (file: string) {
  const home = yield* TestPool.temporaryDirectory
  // npx finds the servers among the installed packages.
  fs.writeFileSync(path.join(home, ".npmrc"), "offline=true\nupdate-notifier=false\n")
  yield* Effect.addFinalizer(() =>
    Effect.map(Processes.killAll({ HOME: home }), (pids) =>
      assert.deepStrictEqual(pids, [], "processes are left running")
    )
  )
  const { code, err, out } = yield* Effect.callback<{
    readonly code: unknown
    readonly out: string
    readonly err: string
  }>((resume) => {
    const child = spawn(process.execPath, [path.join(scratchpad, file)], {
      cwd: root,
      env: { PATH: process.env["PATH"], HOME: home },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const [out, err] = [child.stdout, child.stderr].map((stream) => {
      const chunks: Array<string> = []
      stream.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk))
      return chunks
    })
    child.on("close", (code, signal) =>
      resume(Effect.succeed({ code: code ?? signal, out: out!.join(""), err: err!.join("") }))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })
  assert.deepStrictEqual([code, err], [0, ""], out)
  return out
})

/** What each prints, in this order, among the pool's own log. */
const prints: { readonly [file: string]: ReadonlyArray<string> } = {
  "proxy.ts": ["everything running", "'everything__echo'", "'everything__get-sum'", "everything stopped"],
  "crash.ts": [
    'server "everything" ended while it held this request: it may have run, or not',
    "running -> restarting (failure)",
    "restarting -> running (ready)",
    "Echo: I am another one",
    'restarts: 1, last failure: server "everything" was ended by SIGKILL'
  ],
  "progress.ts": ["1 of 4\n2 of 4\n3 of 4\n4 of 4\n", "Long running operation completed"],
  "typed.ts": [
    "degrees, ",
    "The sum of 2 and 3 is 5.",
    "the arguments of everything__get-sum do not fit its schema: /b expected a finite number"
  ],
  "ai.ts": ["failed: {", "kind: 'InvalidArguments'", "result: {", "The tool says: The sum of 2 and 3 is 5."],
  "sdk.ts": ["Echo: hi", "Echo: hi", "2 sessions, 1 process"]
}

describe("scratchpad", () => {
  for (const [file, expected] of Object.entries(prints)) {
    it.live(`${file} runs, prints what it promises and leaves nothing behind`, () =>
      Effect.gen(function* () {
        const out = yield* run(file)
        let from = 0
        for (const text of expected) {
          const at = out.indexOf(text, from)
          assert.notStrictEqual(at, -1, `${text} is missing in\n${out}`)
          from = at + text.length
        }
      })
    )
  }
})

describe("README", () => {
  const examples = [...fs.readFileSync(path.join(root, "README.md"), "utf8").matchAll(/^```ts\n(.*?)^```$/gms)].map(
    ([, code]) => code!
  )
  /** An example as its reader would write it. */
  const published = (file: string) =>
    fs
      .readFileSync(path.join(scratchpad, file), "utf8")
      .replace(/^\/\*\*.*?\*\/\n/s, "")
      .replaceAll('"../src/index.ts"', '"effect-mcp-pool"')
      .replaceAll('"../src/ai/index.ts"', '"effect-mcp-pool/ai"')

  it("shows proxy.ts first, whole", () => {
    assert.strictEqual(examples[0], published("proxy.ts"))
  })

  it("shows parts of the other examples after it", () => {
    const sources = fs.readdirSync(scratchpad).flatMap((file) => (file.endsWith(".ts") ? [published(file)] : []))
    assert.isAbove(examples.length, 1)
    for (const example of examples)
      assert.isTrue(
        sources.some((source) => source.includes(example)),
        example
      )
  })
})
