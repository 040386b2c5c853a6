/** `mcp-pool trust DIR`: lets the pool run the servers that a project configures of its own. */
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as fs from "node:fs"
import * as path from "node:path"
import { NoProject } from "./CommandError.ts"
import { screen } from "./Screen.ts"

export const trust = Command.make(
  "trust",
  {
    directory: Argument.String("DIR").pipe(Argument.withDescription("The project's directory"), Argument.optional),
    remove: Flag.Boolean("remove").pipe(Flag.withDescription("Trust it no longer"), Flag.withDefault(false)),
    list: Flag.Boolean("list").pipe(
      Flag.withDescription("Show what is trusted, and what of it has changed or is gone"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ directory, list, remove }) {
    if (list) return yield* printTrusted
    if (Option.isNone(directory))
      return yield* new NoProject({ directory: "trust", reason: "needs a project's directory" })
    return yield* remove ? distrust(directory.value) : trustAll(directory.value)
  })
).pipe(
  Command.withDescription("Let the pool run the servers that a project configures of its own, as they are now"),
  Command.withExamples([
    { command: "mcp-pool trust ~/my-project", description: "Show what it would run, and trust that until it changes" },
    { command: "mcp-pool trust --list", description: "What is trusted" }
  ])
)

/** Loaded here, so that no other command loads them. */
const modules = Effect.promise(() =>
  Promise.all([
    import("../config/ClaudeFile.ts"),
    import("../config/Project.ts"),
    import("../config/Trust.ts"),
    import("./trustView.ts")
  ])
)

const trustAll = Effect.fnUntraced(function* (given: string) {
  const [ClaudeFile, Project, Trust, { definitionLines }] = yield* modules
  const project = yield* Project.at(path.resolve(given))
  if (project === undefined) return yield* new NoProject({ directory: given, reason: whyNone(given) })
  const definitions = yield* Project.definitions(project, yield* ClaudeFile.make)
  if (definitions.length === 0) {
    yield* Trust.remove(project.directory)
    return yield* Console.log(`${project.directory} configures no server of its own: there is nothing to trust`)
  }
  const { paint } = yield* screen
  yield* Console.log(definitionLines(project.directory, definitions, paint).join("\n"))
  yield* Trust.write(project.directory, definitions)
  yield* Console.log("\ntrusted: what changes in a definition has to be trusted again")
})

const whyNone = (given: string): string =>
  fs.statSync(given, { throwIfNoEntry: false })?.isDirectory() === true
    ? "is no project: what the home directory and / configure belongs into the pool's own file"
    : "is no directory"

const distrust = Effect.fnUntraced(function* (given: string) {
  const [, Project, Trust] = yield* modules
  // What is gone can be forgotten, too.
  const directory = (yield* Project.at(path.resolve(given)))?.directory ?? path.resolve(given)
  const was = yield* Trust.remove(directory)
  yield* Console.log(was ? `${directory} is no longer trusted` : `${directory} was not trusted`)
})

const printTrusted = Effect.gen(function* () {
  const [ClaudeFile, Project, Trust, { trustedLine }] = yield* modules
  const { paint } = yield* screen
  const claudeFile = yield* ClaudeFile.make
  const records = yield* Trust.list
  if (records.length === 0) return yield* Console.log("no project is trusted")
  for (const record of records) {
    const { definitions, directory } = record
    const project = yield* Project.at(directory)
    const isSame =
      project !== undefined &&
      (yield* Project.definitions(project, claudeFile).pipe(
        Effect.map((all) => all.every((definition) => Trust.judge(record, definition) === "trusted")),
        Effect.orElseSucceed(() => false)
      ))
    const state = project === undefined ? "gone" : isSame ? "as it is" : "changed"
    yield* Console.log(
      trustedLine(
        directory,
        definitions.map(({ server }) => server),
        state,
        paint
      )
    )
  }
})
