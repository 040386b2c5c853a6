/** What a project would have run, as people read it before they trust it, and what is trusted. Pure. */
import { Predicate } from "effect"
import * as path from "node:path"
import type { Definition } from "../config/Project.ts"
import { hasProcess } from "../config/Resolve.ts"
import * as Shell from "../Shell.ts"
import { printable } from "../printable.ts"
import type { Paint } from "./Text.ts"

/** Each server with its command line or url, and where it stands; names of variables and headers, never their values. */
export const definitionLines = (
  directory: string,
  definitions: ReadonlyArray<Definition>,
  paint: Paint
): ReadonlyArray<string> => {
  const count = definitions.length === 1 ? "a server" : `${definitions.length} servers`
  const urls = definitions.some(({ entry }) => Predicate.isObject(entry) && !hasProcess(entry))
  return [
    `${paint.bold(shown(directory))} configures ${count} of its own. These commands will be run${urls ? ", and these urls asked" : ""}:`,
    "",
    ...definitions.flatMap((definition) => [
      `${paint.bold(shown(definition.server))}  ${paint.dim(shown(fileOf(definition)))}`,
      `  ${shown(commandLine(definition.entry))}`,
      ...surroundings(definition).map((line) => `  ${paint.dim(shown(line))}`)
    ])
  ]
}

/** What is trusted of one project, on a line. */
export const trustedLine = (
  directory: string,
  servers: ReadonlyArray<string>,
  state: "as it is" | "changed" | "gone",
  paint: Paint
): string => {
  const note = state === "as it is" ? "" : state === "gone" ? "  the directory is gone" : "  has changed since"
  return `${paint.bold(shown(directory))}  ${shown([...new Set(servers)].join(", "))}${paint.yellow(note)}`
}

/** Relative to the project, where it is in there. */
const fileOf = ({ directory, source: { name } }: Definition): string =>
  name.startsWith(`${directory}/`) ? path.relative(directory, name) : name

const commandLine = (entry: unknown): string => {
  if (!Predicate.isObject(entry)) return "no entry of a server"
  if (!hasProcess(entry)) return Predicate.isString(entry["url"]) ? entry["url"] : "no url"
  if (!Predicate.isString(entry["command"])) return "no command"
  const args: ReadonlyArray<unknown> = Array.isArray(entry["args"]) ? entry["args"] : []
  return Shell.line(entry["command"], ...args.map(String))
}

const surroundings = ({ entry, source: { rawPool } }: Definition): ReadonlyArray<string> => {
  if (!Predicate.isObject(entry)) return []
  const facts = ["cwd", "envFile"].flatMap((key) =>
    Predicate.isString(entry[key]) ? [`${key} ${Shell.quoted(entry[key])}`] : []
  )
  const variables = Predicate.isObject(entry["env"]) ? Object.keys(entry["env"]) : []
  const headers = !hasProcess(entry) && Predicate.isObject(entry["headers"]) ? entry["headers"] : {}
  const settings = [rawPool, entry["pool"]].flatMap((pool) => (Predicate.isObject(pool) ? Object.keys(pool) : []))
  return [
    ...facts,
    ...(variables.length === 0 ? [] : [`env ${variables.join(", ")}`]),
    ...(Object.keys(headers).length === 0 ? [] : [`headers ${headersLine(headers)}`]),
    ...(settings.length === 0 ? [] : [`pool ${[...new Set(settings)].join(", ")}`])
  ]
}

/** Their names, and what of the person's own goes there with them. */
const headersLine = (headers: object): string => {
  const values = Object.values(headers).filter(Predicate.isString)
  const sent = values.flatMap((value) =>
    [...value.matchAll(/\$\{([^}]*?)(?::-[^}]*)?\}/g)].map(([, name]) => `\${${name}}`)
  )
  return `${Object.keys(headers).join(", ")}${sent.length === 0 ? "" : ` with ${sent.join(", ")}`}`
}

/** On one line, whatever the project wrote, and in the order in which it is written. */
const shown = (text: string): string =>
  printable(text)
    .replace(/\s*[\n\t\u2028\u2029]\s*/g, " ")
    .replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "")
