/** Whose the directories and files are, and who else may read or write them. */
import { Effect, Predicate, Result } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ConfigFile from "../config/ConfigFile.ts"
import * as Inputs from "../config/Inputs.ts"
import * as Trust from "../config/Trust.ts"
import { type Finding, of } from "./Finding.ts"
import * as Shell from "../Shell.ts"

const { ok, problem, warning } = of("files")

/** The runtime directory, and the configuration with what lies beside it. */
export const check = Effect.fnUntraced(function* (options: {
  readonly runtimeDir: string
  /** Absolute paths of files that can be read. */
  readonly configFiles: ReadonlyArray<string>
}): Effect.fn.Return<ReadonlyArray<Finding>> {
  const findings = [...runtimeDirectory(options.runtimeDir)]
  for (const file of options.configFiles) findings.push(...(yield* configuration(file)))
  const beside = new Set(options.configFiles.map((file) => path.join(path.dirname(file), "mcp-pool.inputs.json")))
  for (const file of beside) findings.push(...(yield* inputs(file)))
  return [...findings, ...(yield* trusted)]
})

const runtimeDirectory = (directory: string): ReadonlyArray<Finding> => {
  const link = look(directory)
  if (link === undefined) {
    const trouble = cannotMake(directory)
    return trouble === undefined
      ? [ok(directory, `${directory} does not exist yet: mcp-pool serve makes it`), ...fileSystem(directory)]
      : [problem(directory, trouble.message, trouble.mend)]
  }
  const stats = follow(directory)
  if (stats === undefined) {
    return [problem(directory, "is a symbolic link to nothing", Shell.line("rm", directory))]
  }
  if (!stats.isDirectory())
    return [problem(directory, "is not a directory", Shell.line("mv", directory, `${directory}.old`))]
  const findings: Array<Finding> = []
  if (stats.uid !== process.getuid?.()) {
    findings.push(problem(directory, "belongs to another user", elsewhere))
  } else if ((stats.mode & 0o022) !== 0) {
    findings.push(problem(directory, `${modeOf(stats)}: others may write to it`, Shell.line("chmod", "700", directory)))
  } else if ((stats.mode & 0o700) !== 0o700) {
    findings.push(
      problem(directory, `${modeOf(stats)}: its owner may not use it`, Shell.line("chmod", "700", directory))
    )
  } else if ((stats.mode & 0o055) !== 0) {
    const message = `${modeOf(stats)}: others may look into it, until mcp-pool serve starts the next time`
    findings.push(warning(directory, message, Shell.line("chmod", "700", directory)))
  } else if (!isWritable(directory)) {
    findings.push(problem(directory, "cannot be written to", elsewhere))
  }
  if (link.isSymbolicLink()) {
    const target = fs.realpathSync(directory)
    findings.push(warning(directory, `is a symbolic link to ${target}`, `give --runtime-dir ${Shell.quoted(target)}`))
  }
  findings.push(...fileSystem(directory))
  return findings.length > 0 ? findings : [ok(directory, `${directory} is yours alone`)]
}

const elsewhere = "give --runtime-dir DIR, with a directory of your own"

/** Why a directory that is not there cannot be made, or undefined. */
export const cannotMake = (directory: string): { readonly message: string; readonly mend: string } | undefined => {
  const above = nearest(directory)
  if (follow(above)?.isDirectory() !== true)
    return { message: `${above} is not a directory`, mend: Shell.line("mv", above, `${above}.old`) }
  return isWritable(above)
    ? undefined
    : { message: `${directory} cannot be made: ${above} cannot be written to`, mend: Shell.line("ls", "-ld", above) }
}

/** The directory, or what is there of its path. */
const nearest = (directory: string): string =>
  look(directory) === undefined ? nearest(path.dirname(directory)) : directory

const isWritable = (directory: string): boolean => {
  try {
    fs.accessSync(directory, fs.constants.W_OK | fs.constants.X_OK)
    return true
  } catch {
    return false
  }
}

const fileSystem = (directory: string): ReadonlyArray<Finding> => {
  // Elsewhere the numbers mean something else.
  const kind = process.platform === "linux" ? withoutSockets(fs.statfsSync(nearest(directory)).type) : undefined
  if (kind === undefined) return []
  return kind.certain
    ? [problem(directory, `is on ${kind.name}, which holds no sockets`, elsewhere)]
    : [warning(directory, `is on ${kind.name}, which may not hold sockets`, elsewhere)]
}

/** File systems of Linux that hold no sockets, or not everywhere, by the number that `statfs` gives them. */
export const withoutSockets = (type: number): { readonly name: string; readonly certain: boolean } | undefined =>
  fileSystems.get(type >>> 0)

const fileSystems = new Map([
  [0x4d44, { name: "FAT", certain: true }],
  [0x2011bab0, { name: "exFAT", certain: true }],
  [0xff534d42, { name: "CIFS", certain: true }],
  [0xfe534d42, { name: "SMB", certain: true }],
  [0x786f4256, { name: "VirtualBox's shared folders", certain: true }],
  [0x5346544e, { name: "NTFS", certain: false }],
  [0x65735546, { name: "FUSE", certain: false }],
  [0x01021997, { name: "9P", certain: false }]
])

const configuration = Effect.fnUntraced(function* (file: string) {
  const stats = follow(file)
  const source = yield* Effect.result(ConfigFile.read(file))
  if (stats === undefined || Result.isFailure(source)) return []
  // What is in it is run.
  if ((stats.mode & 0o002) !== 0) {
    return [problem(file, `${modeOf(stats)}: everybody may write to it`, Shell.line("chmod", "o-w", file))]
  }
  const secrets = source.success.servers.flatMap(([name, entry]) => (holdsSecret(entry) ? [name] : []))
  if ((stats.mode & 0o044) === 0 || secrets.length === 0) return [ok(file, `${file} tells others no secrets`)]
  const message = `${modeOf(stats)}: others may read it, and it seems to hold secrets (${secrets.join(", ")})`
  return [warning(file, message, Shell.line("chmod", "600", file))]
})

/** Whether an entry has a value of its own where a secret is likely: a reference is none. */
const holdsSecret = (entry: unknown): boolean => {
  if (!Predicate.isObject(entry)) return false
  return [entry["env"], entry["headers"]].some(
    (values) =>
      Predicate.isObject(values) &&
      Object.entries(values).some(
        ([name, value]) => secretName.test(name) && typeof value === "string" && value !== "" && !value.includes("${")
      )
  )
}

const secretName = /token|secret|passw|credential|authorization|(?:^|_)(?:key|pat|auth)(?:$|_)|api-?key/i

const inputs = Effect.fnUntraced(function* (file: string) {
  const stats = follow(file)
  if (stats === undefined) return []
  if ((stats.mode & 0o077) !== 0) {
    const message = `${modeOf(stats)}: others may read it, so that nothing is taken from it`
    return [problem(file, message, Shell.line("chmod", "600", file))]
  }
  const { values } = yield* Inputs.read(path.dirname(file))
  return Result.isSuccess(values)
    ? [ok(file, `${file} is yours alone`)]
    : [problem(file, values.failure, `edit ${file}`)]
})

/** Projects whose servers may be run. */
const trusted = Effect.gen(function* () {
  const records = yield* Effect.result(Trust.list)
  if (Result.isFailure(records)) {
    const { file, message } = records.failure
    return [problem(file, message.slice(file.length).replace(/^[^ ]* /, ""), Shell.line("rm", file))]
  }
  return records.success.flatMap(({ directory }) =>
    follow(directory)?.isDirectory() === true
      ? []
      : [
          warning(
            directory,
            "is trusted as a project, and is gone: what comes to be there could be trusted by mistake",
            Shell.line("mcp-pool", "trust", "--remove", directory)
          )
        ]
  )
})

/** What a path leads to; undefined where that is nothing, or cannot be seen. */
const follow = (file: string): fs.Stats | undefined => {
  try {
    return fs.statSync(file)
  } catch {
    return undefined
  }
}

/** What is at a path, itself; undefined where nothing is, or nothing can be seen. */
export const look = (file: string): fs.Stats | undefined => {
  try {
    return fs.lstatSync(file, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

const modeOf = ({ mode }: fs.Stats): string => `mode ${(mode & 0o777).toString(8).padStart(4, "0")}`
