/** The service as people and programs read it, and what an installation would do. Pure. */
import { Runtime, Schema } from "effect"
import * as Shell from "../Shell.ts"
import type { DaemonStatus } from "../control/ControlApi.ts"
import { configFilesOf, type Description, httpFlagsOf } from "../service/Description.ts"
import type { Keeper } from "../service/Keeper.ts"
import type { Look } from "../service/Service.ts"
import * as ServiceRecord from "../service/ServiceRecord.ts"
import { printable } from "../printable.ts"
import { exitCode } from "./CommandError.ts"
import type { Paint } from "./Text.ts"

/** The service cannot be written down as it would have to be. */
export class ServiceUnwritable extends Schema.TaggedError<ServiceUnwritable>()("ServiceUnwritable", {
  reason: Schema.String
}) {
  override readonly [Runtime.errorExitCode] = exitCode.usage
  override get message(): string {
    return `the service cannot be written down: ${this.reason}`
  }
}

/** What `install` would write and run. */
export const previewLines = (keeper: Keeper, description: Description): ReadonlyArray<string> => [
  `# ${keeper.file}`,
  keeper.text(description),
  `# ${ServiceRecord.fileOf(description.runtimeDir)}: how connect starts it`,
  "",
  "# Then it runs",
  ...[...keeper.register, keeper.start].map((argv) => Shell.line(...argv))
]

/** What `service status --json` prints. */
export interface ServiceStatus {
  readonly name: string
  readonly kind: Keeper["kind"]
  readonly file: string
  readonly isInstalled: boolean
  readonly isEdited: boolean
  /** Null where nobody can tell. */
  readonly isEnabled: boolean | null
  readonly isRunning: boolean
  /** Its keeper's own words. */
  readonly state: string
  /** Why systemd or launchd cannot be asked; null where it answers. */
  readonly silence: string | null
  readonly pid: number | null
  /** The process that answers at the runtime directory, of the service or not; null for none. */
  readonly daemon: number | null
  /** Where that daemon serves HTTP; null for nowhere. */
  readonly url: string | null
  readonly runtimeDir: string
  /** Null where the file does not say. */
  readonly node: Program | null
  readonly script: Program | null
  /** Empty: the default file. */
  readonly configFiles: ReadonlyArray<string>
  readonly path: string | null
  /** What the file says of HTTP, as flags; empty where it is not to be served. */
  readonly http: ReadonlyArray<string>
  /** Whether `connect` starts the daemon by it. */
  readonly isRecorded: boolean
}

/** A file that the service needs. */
export interface Program {
  readonly file: string
  readonly exists: boolean
}

export const serviceStatus = (options: {
  readonly keeper: Keeper
  readonly look: Look
  readonly daemon: Pick<DaemonStatus, "pid" | "http"> | null
  readonly runtimeDir: string
  readonly exists: (file: string) => boolean
}): ServiceStatus => {
  const { daemon, exists, keeper, look, runtimeDir } = options
  const { file, isRecorded, parsed, state } = look
  const program = (word: string | undefined): Program | null =>
    word === undefined ? null : { file: word, exists: exists(word) }
  return {
    name: keeper.name,
    kind: keeper.kind,
    file: keeper.file,
    isInstalled: file.kind === "found",
    isEdited: file.kind === "found" && file.isEdited,
    isEnabled: state.isEnabled,
    isRunning: state.pid !== null,
    state: state.words,
    silence: state.silence,
    pid: state.pid,
    daemon: daemon?.pid ?? null,
    url: daemon?.http?.url ?? null,
    runtimeDir,
    node: program(parsed?.command[0]),
    script: program(parsed?.command[1]),
    configFiles: parsed === undefined ? [] : configFilesOf(parsed),
    path: parsed?.path ?? null,
    http: parsed === undefined ? [] : httpFlagsOf(parsed),
    isRecorded
  }
}

export const serviceLines = (status: ServiceStatus, paint: Paint): ReadonlyArray<string> => {
  if (!status.isInstalled) {
    const daemon = status.daemon === null ? "" : `; the daemon with process ${status.daemon} was started otherwise`
    return [`no service is installed for ${status.runtimeDir}${daemon}`]
  }
  const { bold, dim, green, red, yellow } = paint
  const program = (what: Program | null) =>
    what === null
      ? yellow("not known")
      : what.exists
        ? printable(what.file)
        : `${printable(what.file)} ${red("is gone")}`
  const line = (head: string, text: string) => `  ${dim(head.padEnd(headWidth))}${text}`
  const again = `write it anew with "mcp-pool service install"`
  return [
    `${bold(status.name)} (${status.kind}) · ${status.file}`,
    line("installed", status.isEdited ? yellow("yes, and edited by hand") : "yes"),
    line("enabled", status.isEnabled === null ? "not known" : status.isEnabled ? "yes" : yellow("no")),
    line(
      "running",
      status.silence !== null
        ? yellow(`not known: ${printable(status.silence)}`)
        : status.pid === null
          ? red(`no, ${status.state}`)
          : `${green("yes")}, pid ${status.pid}, ${status.state}`
    ),
    line("daemon", daemonText(status, paint)),
    line("connect", status.isRecorded ? "starts it" : `${yellow("does not know of it")}: ${again}`),
    line("node", program(status.node)),
    line("script", program(status.script)),
    line(
      "config",
      status.configFiles.length === 0 ? "~/.config/mcp-pool/config.json" : printable(status.configFiles.join(", "))
    ),
    ...(status.url === null && status.http.length === 0 ? [] : [line("HTTP", httpText(status, paint))]),
    line("PATH", status.path === null ? yellow("not known") : printable(status.path))
  ]
}

const httpText = ({ daemon, http, url }: ServiceStatus, { yellow }: Paint): string => {
  const said = Shell.line(...http)
  if (url === null) return daemon === null ? said : yellow(`not served, though it is told ${said}: mcp-pool doctor`)
  return http.length === 0 ? `${url}, ${yellow("of which the service does not know")}` : `${url} (${said})`
}

const headWidth = "installed".length + 2

const daemonText = ({ daemon, pid, runtimeDir, silence }: ServiceStatus, { yellow }: Paint): string => {
  if (daemon === null) return `none answers at ${runtimeDir}`
  const isBeside = silence === null && daemon !== pid
  return `pid ${daemon} serves ${runtimeDir}${isBeside ? yellow(", and is not the service's") : ""}`
}
