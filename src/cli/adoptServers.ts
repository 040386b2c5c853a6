/** Everything that `mcp-pool adopt` does. */
import { Console, Effect, Option } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Adopt from "../adopt/Adopt.ts"
import { hostsOf, isProject, projectOf } from "../adopt/Find.ts"
import * as Measure from "../adopt/Measure.ts"
import { needs } from "../adopt/Needs.ts"
import { HostEnvironment } from "../config/Environment.ts"
import * as Inputs from "../config/Inputs.ts"
import { variable } from "../config/Interpolation.ts"
import * as DaemonRecord from "../daemon/DaemonRecord.ts"
import { measuredLines, nextLines, planLines, undoneLines } from "./adoptView.ts"
import { InCache, NoProject, NotAnswering } from "./CommandError.ts"
import { executable } from "./executable.ts"
import { screen } from "./Screen.ts"

export interface Options {
  readonly dryRun: boolean
  readonly measure: boolean
  readonly host: ReadonlyArray<string>
  readonly project: ReadonlyArray<string>
  readonly servers: ReadonlyArray<string>
  readonly runtimeDir: string
}

export const adoptServers = Effect.fnUntraced(function* (options: Options) {
  const variables = yield* HostEnvironment
  const home = yield* homeOf
  const projects = yield* projectsOf(options.project, home)
  const prepared = yield* Adopt.prepare({
    where: { home, platform: process.platform, variables },
    program: { ...executable(), runtimeDir: options.runtimeDir },
    hosts: hostsOf(options.host),
    projects,
    only: options.servers
  })
  const { canRedraw, paint, width } = yield* screen
  const view = { paint, width, home, isDryRun: options.dryRun }
  const inputs = yield* Inputs.read(path.dirname(prepared.poolFile))
  const definitions = prepared.servers.map(({ options }) => options)
  const here = { variables, inputs, workspaceFolder: home, userHome: home }
  const before = options.measure ? yield* Measure.before(definitions, here) : []
  const print = (lines: ReadonlyArray<string>) => Console.log(lines.join("\n"))
  const plan = planLines(prepared, before, needs(prepared.servers, here), view)
  if (prepared.files.length === 0) return yield* print(plan)
  if (options.dryRun) {
    return yield* print([...plan, ...(options.measure ? measuredLines(before, null, view) : [])])
  }

  const { script } = executable()
  if (script.includes("/_npx/")) return yield* new InCache({ script })
  yield* Adopt.apply(prepared)
  yield* print(plan)
  yield* Measure.reload(options)
  const next = nextLines(prepared, { ...view, otherFiles: yield* otherFiles(options.runtimeDir, prepared.poolFile) })
  if (!options.measure) return yield* print(next)
  if (canRedraw) yield* Console.error(paint.dim("running each new entry …"))
  const after = yield* Measure.after({
    servers: prepared.servers.map((server, i) => ({ server, copies: before[i]!.copies })),
    runtimeDir: options.runtimeDir,
    home,
    env: variables
  })
  yield* print([...measuredLines(before, after, view), ...next])
  const unanswered = after.tried.filter(({ trouble }) => trouble !== null).length
  if (unanswered > 0) return yield* new NotAnswering({ entries: unanswered })
})

export const undoAdopt = Effect.fnUntraced(function* (ifChanged: "refuse" | "overwrite" | "entries") {
  const home = yield* homeOf
  yield* Console.log(undoneLines(yield* Adopt.undo({ home, ifChanged }), home).join("\n"))
})

/** What the daemon was last started with, where the pool's own file is not among it. */
const otherFiles = Effect.fnUntraced(function* (runtimeDir: string, poolFile: string) {
  const files = Option.match(yield* DaemonRecord.read(runtimeDir), {
    onNone: (): ReadonlyArray<string> => [],
    onSome: ({ configFiles }) => configFiles
  })
  return files.includes(poolFile) ? [] : files
})

const homeOf = Effect.map(HostEnvironment, (variables) => variable(variables, "HOME") || os.homedir())

/** Those that are named, else the one that this directory belongs to. */
const projectsOf = Effect.fnUntraced(function* (named: ReadonlyArray<string>, home: string) {
  const here = projectOf(process.cwd(), home)
  if (named.length === 0) return here === undefined ? [] : [here]
  return yield* Effect.forEach(named, (name) => {
    const directory = path.resolve(name)
    if (fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
      return Effect.fail(new NoProject({ directory: name, reason: "is no directory" }))
    }
    const real = fs.realpathSync(directory)
    return isProject(real, home)
      ? Effect.succeed(real)
      : Effect.fail(new NoProject({ directory: name, reason: "is no project: its files are looked at anyway" }))
  })
})
