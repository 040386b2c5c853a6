/** `mcp-pool doctor`: what is wrong here, and what mends it. */
import { Console, Effect, Runtime, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Os from "node:os"
import * as Connect from "../hosts/Connect.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import { exitCode } from "./CommandError.ts"
import { executable } from "./executable.ts"
import { jsonFlag, runtimeDir } from "./root.ts"
import { screen } from "./Screen.ts"

/** Something has to be mended. */
export class Unwell extends Schema.TaggedError<Unwell>()("Unwell", {
  problems: Schema.Int,
  warnings: Schema.Int
}) {
  override readonly [Runtime.errorExitCode] = exitCode.failure
  override get message(): string {
    const warnings = this.warnings === 0 ? "" : `, and ${counted(this.warnings, "warning")}`
    return `the doctor found ${counted(this.problems, "problem")}${warnings}`
  }
}

export const doctor = Command.make(
  "doctor",
  {
    config: Flag.Path("config").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("The files that serve is given; may be given several times"),
      Flag.atLeast(0)
    ),
    start: Flag.Boolean("start").pipe(
      Flag.withDescription("Start each server for a moment too, but for those that the daemon has running"),
      Flag.withDefault(false)
    ),
    json: jsonFlag,
    servers: Argument.String("SERVER").pipe(
      Argument.withDescription("Names of servers to look at: else all"),
      Argument.variadic()
    )
  },
  Effect.fnUntraced(function* ({ config, json, servers, start }) {
    const directory = yield* runtimeDir
    const usual = RuntimeDir.resolve({ flag: undefined, env: {}, home: Os.homedir() })
    // Loaded here, so that no other command loads them.
    const [Doctor, { findingLines }] = yield* Effect.promise(() =>
      Promise.all([import("../doctor/Doctor.ts"), import("./doctorView.ts")])
    )
    const { canRedraw, paint, width } = yield* screen
    if (start && !json && canRedraw) yield* Console.error(paint.dim("starting each server for a moment …"))
    const findings = yield* Doctor.run({
      configFiles: config,
      runtimeDir: directory,
      isUsualDirectory: directory === usual,
      only: servers,
      start,
      nodeVersion: process.versions.node,
      // What `mcp-pool config` prints.
      entryOf: (server) => Connect.run(server, { ...executable(), runtimeDir: directory })
    })
    const lines = json ? [JSON.stringify(findings, undefined, 2)] : findingLines(findings, { paint, width })
    yield* Console.log(lines.join("\n"))
    const problems = findings.filter(({ ok }) => ok === "problem").length
    const warnings = findings.filter(({ ok }) => ok === "warning").length
    if (problems > 0) return yield* new Unwell({ problems, warnings })
  })
).pipe(
  Command.withDescription("Look for what is wrong here, and say what mends it; changes nothing"),
  Command.withExamples([
    { command: "mcp-pool doctor", description: "Look at the default configuration and the daemon" },
    {
      command: "mcp-pool doctor --config .mcp.json --start",
      description: "Start each of its servers for a moment too"
    },
    { command: "mcp-pool doctor --start github", description: "Only one server" }
  ])
)

const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`
