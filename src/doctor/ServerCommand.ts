/** Whether each server's command can be started, as the system would look for it. */
import * as fs from "node:fs"
import * as path from "node:path"
import { hostOf } from "../config/Remote.ts"
import type { ServerSpec } from "../config/ServerSpec.ts"
import { type Finding, of } from "./Finding.ts"
import * as Shell from "../Shell.ts"

const { ok, problem } = of("commands")

/** One server: its directory, its command, and what the command's first line asks for. */
export const check = (spec: ServerSpec): ReadonlyArray<Finding> => {
  if (spec.remote !== null) return [ok(spec.name, `at ${hostOf(spec.remote)}`)]
  const findings = [...directory(spec), ...program(spec)]
  const ill = findings.filter(({ ok }) => ok !== "ok")
  return ill.length > 0 ? ill : findings
}

const directory = ({ cwd, name, source }: ServerSpec): ReadonlyArray<Finding> => {
  const stats = statOf(cwd)
  if (stats === undefined) {
    return [problem(name, `its directory does not exist: ${cwd} ("cwd" in ${source})`, Shell.line("mkdir", "-p", cwd))]
  }
  if (!stats.isDirectory()) return [problem(name, `its "cwd" is no directory: ${cwd}`, `mend its "cwd" in ${source}`)]
  return isExecutable(cwd)
    ? []
    : [problem(name, `its directory may not be entered: ${cwd}`, Shell.line("chmod", "u+x", cwd))]
}

const program = (spec: ServerSpec): ReadonlyArray<Finding> => {
  const { command, name, source } = spec
  const found = resolve(command, spec)
  switch (found.kind) {
    case "missing":
      return [
        problem(name, missing(command), `${install(command)}, or write its absolute path into "command" in ${source}`)
      ]
    case "refused":
      return statOf(found.file)?.isDirectory() === true
        ? [problem(name, `${found.file} is a directory`, `write a program's path into "command" in ${source}`)]
        : [problem(name, `${found.file} is not executable`, Shell.line("chmod", "+x", found.file))]
    case "found": {
      const lacking = interpreter(found.file).find((word) => resolve(word, spec).kind !== "found")
      if (lacking === undefined) return [ok(name, found.file)]
      const where = lacking.includes("/") ? "there" : "on its PATH"
      return [
        problem(
          name,
          `${found.file} is run by ${JSON.stringify(lacking)}, which is not ${where}`,
          `${install(lacking)}, or set "PATH" in "env" of the server in ${source}`
        )
      ]
    }
  }
}

const missing = (command: string): string =>
  command.includes("/") ? `${command} does not exist` : `${JSON.stringify(command)} is not on its PATH`

/** What `execvp` of a process with that environment and directory would run. */
export const resolve = (
  command: string,
  process: Pick<ServerSpec, "cwd" | "env">
): { readonly kind: "found" | "refused"; readonly file: string } | { readonly kind: "missing" } => {
  const candidates = command.includes("/")
    ? [path.resolve(process.cwd, command)]
    : // An empty entry is the directory itself, as is each relative one's start.
      (process.env["PATH"] ?? defaultPath).split(":").map((entry) => path.resolve(process.cwd, entry, command))
  let refused: string | undefined
  for (const file of candidates) {
    const stats = statOf(file)
    if (stats === undefined) continue
    if (stats.isFile() && isExecutable(file)) return { kind: "found", file }
    // The system looks on, and says in the end that there was one which may not be run.
    refused ??= file
  }
  return refused === undefined ? { kind: "missing" } : { kind: "refused", file: refused }
}

/** What runs a script, by its first line: the interpreter, and what `env` is to find. */
const interpreter = (file: string): ReadonlyArray<string> => {
  const first = firstLine(file)
  if (!first.startsWith("#!")) return []
  const [program = "", ...rest] = first.slice(2).trim().split(/\s+/)
  if (path.basename(program) !== "env") return [program]
  const named = rest.find((word) => !word.startsWith("-") && !word.includes("="))
  return named === undefined ? [program] : [program, named]
}

const firstLine = (file: string): string => {
  let fd: number | undefined
  try {
    fd = fs.openSync(file, "r")
    const bytes = Buffer.alloc(256)
    return bytes.toString("latin1", 0, fs.readSync(fd, bytes)).split("\n", 1)[0]!
  } catch {
    return ""
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

const statOf = (file: string): fs.Stats | undefined => {
  try {
    return fs.statSync(file)
  } catch {
    return undefined
  }
}

const isExecutable = (file: string): boolean => {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** What brings the programs that servers are mostly started with. */
const install = (command: string): string => installs.get(command) ?? `install ${command}`

const installs: ReadonlyMap<string, string> = new Map([
  ["node", "install Node from nodejs.org"],
  ["npm", "install Node from nodejs.org"],
  ["npx", "install Node from nodejs.org"],
  ["uv", "install uv from docs.astral.sh/uv"],
  ["uvx", "install uv from docs.astral.sh/uv"],
  ["bunx", "install Bun from bun.sh"],
  ["docker", "install Docker from docs.docker.com"]
])

/** Of the system, for an environment without one. */
const defaultPath = "/bin:/usr/bin"
