/** What adopt found, did and measured, as people read it. Pure. */
import * as path from "node:path"
import type { Prepared } from "../adopt/Adopt.ts"
import type { Undone } from "../adopt/Files.ts"
import { own } from "../adopt/Find.ts"
import type { After, Before, Usage } from "../adopt/Measure.ts"
import type { Need } from "../adopt/Needs.ts"
import type { Moved, Server } from "../adopt/Plan.ts"
import * as KnownState from "../config/KnownState.ts"
import * as Shell from "../Shell.ts"
import { printable } from "../printable.ts"
import type { Screen } from "./Screen.ts"
import { firstLine, size, table } from "./Text.ts"

export interface Options extends Pick<Screen, "paint" | "width"> {
  readonly home: string
  readonly isDryRun: boolean
}

/** What is there, and what becomes of it. */
export const planLines = (
  prepared: Prepared,
  before: ReadonlyArray<Before>,
  needs: ReadonlyArray<Need>,
  options: Options
): ReadonlyArray<string> => [
  ...serverLines(prepared, before, options),
  ...keptLines(prepared, options),
  ...fileLines(prepared, options),
  ...needLines(prepared, needs, options)
]

interface Row extends Before {
  readonly server: Server
}

const serverLines = (
  { servers }: Prepared,
  before: ReadonlyArray<Before>,
  { home, paint, width }: Options
): ReadonlyArray<string> => {
  if (servers.length === 0) return []
  const rows = servers.map((server, i): Row => ({ copies: 0, processes: 0, memory: 0, ...before[i], server }))
  const [head, ...lines] = table<Row>(
    rows,
    [
      { head: "SERVER", text: ({ server }) => addressOf(server, home), style: paint.bold },
      { head: "HOSTS", text: ({ server }) => titles(server.entries) },
      { head: "ENTRIES", text: ({ server }) => String(server.entries.length), right: true },
      { head: "PROCESSES", text: ({ processes }) => (processes === 0 ? "-" : String(processes)), right: true },
      { head: "MEMORY", text: ({ memory }) => (memory === 0 ? "-" : size(memory)), right: true },
      { head: "SAFE TO SHARE", text: ({ server }) => safety(server) }
    ],
    paint
  )
  return [
    head!,
    ...rows.flatMap(({ server }, i) => [
      lines[i]!,
      ...remarks(server, servers).map((line) => `  ${paint.dim(firstLine(line, width - 2))}`)
    ])
  ]
}

const addressOf = ({ name, project }: Server, home: string): string =>
  project === null ? shown(name) : `${shown(name)}@${tilde(project, home)}`

const titles = (entries: ReadonlyArray<Moved>): string => {
  const all = [...new Set(entries.map(({ found }) => found.host.title))]
  return all.length <= 3 ? all.join(", ") : `${all.slice(0, 2).join(", ")} and ${all.length - 2} more`
}

const safety = ({ options }: Server): string => {
  const { sharing } = options.pool ?? {}
  const state = KnownState.of(options)
  if (state !== null) return `no, it keeps ${state}: a process for each session`
  if (sharing !== undefined && sharing !== "shared") return `has "sharing": ${JSON.stringify(sharing)}`
  return KnownState.isHarmless(options) ? "yes" : unknown
}

const unknown = "not known"

const remarks = (server: Server, all: ReadonlyArray<Server>): ReadonlyArray<string> => {
  const { entries, isThere, name, options, project } = server
  const wanted = entries[0]!.entry.name
  const other = all.find((one) => one !== server && one.project === project && one.entries[0]!.entry.name === wanted)
  const differs =
    name === wanted ? [] : [`"${shown(wanted)}" there, with another definition than ${other?.name ?? wanted}`]
  // Somebody else may have written it, and it is going to be run.
  const ofProject = project === null ? [] : [`runs ${Shell.line(options.command ?? "", ...(options.args ?? []))}`]
  return [...differs, ...ofProject, ...(isThere ? ["the pool has this definition already"] : [])]
}

const keptLines = ({ kept, unread }: Prepared, { home, paint, width }: Options): ReadonlyArray<string> => {
  const others = kept.filter(({ reason }) => reason !== own)
  const ours = kept.length - others.length
  const lines = [
    ...[...Map.groupBy(others, ({ reason }) => reason)].map(([reason, group]) => {
      const names = group.map(({ entry, found }) => `${shown(entry.name)} (${found.host.title})`)
      return `${[...new Set(names)].join(", ")}: ${shown(reason)}`
    }),
    ...unread.map(({ file, reason }) => `${tilde(file, home)}: ${shown(reason)}`),
    ...(ours === 0 ? [] : [`${counted(ours, "entry", "entries")} that ${ours === 1 ? "runs" : "run"} mcp-pool already`])
  ]
  if (lines.length === 0) return []
  return ["", paint.bold("left as they are"), ...lines.map((line) => `  ${firstLine(line, width - 2)}`)]
}

const fileLines = (
  { files, poolFile, poolText, servers }: Prepared,
  { home, isDryRun, paint }: Options
): ReadonlyArray<string> => {
  if (files.length === 0) return ["", "nothing to move: no host has a server of its own"]
  const entries = servers.flatMap(({ entries }) => entries)
  const added = servers.filter(({ isThere }) => !isThere).length
  const what = `${counted(entries.length, "entry", "entries")} of ${counted(files.length, "file", "files")}`
  const to = poolText === null ? "" : `, ${counted(added, "definition", "definitions")} into ${tilde(poolFile, home)}`
  return [
    "",
    paint.bold(isDryRun ? `would point ${what} at the pool${to}` : `${what} now connect to the pool${to}`),
    ...files.map(({ found }) => {
      const names = entries.filter((moved) => moved.found === found).map(({ entry }) => shown(entry.name))
      return `  ${tilde(found.file, home)}  ${paint.dim(names.join(", "))}`
    })
  ]
}

const needLines = (
  { poolFile }: Prepared,
  needs: ReadonlyArray<Need>,
  { home, paint }: Options
): ReadonlyArray<string> => {
  const inputs = needs.filter(({ isThere, kind }) => kind === "input" && !isThere)
  const variables = needs.filter(({ kind }) => kind === "variable")
  const file = tilde(path.join(path.dirname(poolFile), "mcp-pool.inputs.json"), home)
  const line = ({ isThere, kind, name, servers }: Need) =>
    `  ${shown(name)} ${paint.dim(`(${servers.map(shown).join(", ")})`)}${kind === "input" || isThere ? "" : paint.yellow("  not set here")}`
  return [
    ...(inputs.length === 0
      ? []
      : ["", paint.bold(`needs values in ${file} (mode 0600), as { "ID": "VALUE" }`), ...inputs.map(line)]),
    ...(variables.length === 0 ? [] : ["", paint.bold("taken from the daemon's environment"), ...variables.map(line)])
  ]
}

/** Both lines side by side; what does not answer, below. */
export const measuredLines = (
  before: ReadonlyArray<Before>,
  after: After | null,
  { paint }: Pick<Options, "paint">
): ReadonlyArray<string> => {
  const sum = before.reduce<Before>(
    (all, one) => ({
      copies: all.copies + one.copies,
      processes: all.processes + one.processes,
      memory: all.memory + one.memory
    }),
    { copies: 0, processes: 0, memory: 0 }
  )
  const rows: ReadonlyArray<{ readonly name: string; readonly usage: Usage | null; readonly what: string }> = [
    {
      name: "before",
      usage: sum,
      what:
        sum.copies === 0 ? "no host runs any of them now" : `${counted(sum.copies, "server", "servers")} that hosts run`
    },
    ...(after === null
      ? []
      : [
          {
            name: "after",
            usage: after.usage,
            what:
              after.usage === null
                ? "not measured: no daemon runs"
                : `${counted(after.sessions, "session", "sessions")}: a bridge each, the daemon, ${counted(after.usage.servers, "server", "servers")}`
          }
        ])
  ]
  const lines = table(
    rows,
    [
      { head: "", text: ({ name }) => name, style: paint.bold },
      { head: "PROCESSES", text: ({ usage }) => (usage === null ? "-" : String(usage.processes)), right: true },
      { head: "MEMORY", text: ({ usage }) => (usage === null ? "-" : size(usage.memory)), right: true },
      { head: "", text: ({ what }) => what, style: paint.dim }
    ],
    paint
  )
  const failed = after?.tried.filter(({ trouble }) => trouble !== null) ?? []
  return [
    "",
    ...lines,
    ...(failed.length === 0 ? [] : ["", paint.bold("does not answer yet")]),
    ...failed.map(
      ({ moved: { entry, found }, trouble }) =>
        `  ${paint.red("✗")} ${shown(entry.name)} (${found.host.title}): ${shown(trouble!)}`
    )
  ]
}

/** What a person does next. */
export const nextLines = (
  prepared: Prepared,
  { home, otherFiles, paint }: Options & { readonly otherFiles: ReadonlyArray<string> }
): ReadonlyArray<string> => {
  const hosts = [...new Set(prepared.files.map(({ found }) => found.host.title))].join(", ")
  const shared = prepared.files
    .filter(({ found }) => found.project !== null)
    .map(({ found }) => tilde(found.file, home))
  return [
    "",
    ...(otherFiles.length === 0
      ? []
      : [
          `The daemon was last started with ${otherFiles.map((file) => tilde(file, home)).join(", ")} only. Start it once with all:`,
          `  ${Shell.line("mcp-pool", "serve", ...[...otherFiles, prepared.poolFile].flatMap((file) => ["--config", file]))}`
        ]),
    `Next: restart ${hosts}. ${paint.bold("mcp-pool service install")} keeps the daemon ready from login on.`,
    `${paint.bold("mcp-pool adopt --undo")} takes it all back.`,
    ...(prepared.servers.some((server) => safety(server) === unknown)
      ? [`${paint.bold("mcp-pool certify NAME")} finds out whether a server is safe to share.`]
      : []),
    ...(shared.length === 0
      ? []
      : [
          `${shared.join(", ")} now ${shared.length === 1 ? "names" : "name"} paths of this machine: not for others' use.`
        ])
  ]
}

/** What `--undo` did. */
export const undoneLines = (undone: Undone, home: string): ReadonlyArray<string> => [
  ...undone.restored.map((file) => `${tilde(file, home)} is as it was`),
  ...undone.removed.map((file) => `${tilde(file, home)} is gone again`),
  ...undone.partly.map(
    (file) => `${tilde(file, home)} has changed since: only what adopt had pointed at the pool is back`
  ),
  ...(undone.kept === null ? [] : [`what had changed since is kept in ${tilde(undone.kept, home)}`]),
  "",
  "Next: restart the hosts; mcp-pool shutdown ends what the pool still runs for them."
]

const counted = (count: number, one: string, more: string): string => `${count} ${count === 1 ? one : more}`

const tilde = (file: string, home: string): string =>
  shown(file.startsWith(`${home}/`) ? `~${file.slice(home.length)}` : file)

/** On one line, whatever somebody wrote. */
const shown = (text: string): string => printable(text).replace(/\s*[\n\t]\s*/g, " ")
