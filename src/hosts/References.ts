/** How each host writes a reference to a variable, as the pool writes it. Pure. */
import { Option, Result } from "effect"
import { interpolate, variable, type Variables } from "../config/Interpolation.ts"
import * as Inputs from "../config/Inputs.ts"

/** What a text says to a host: `literal` ones have no references at all. */
export type Dialect = "pool" | "gemini" | "opencode" | "literal"

/** A text as the pool means the same, or why it cannot. Never with the text, which may be a secret. */
export const convert = (text: string, dialect: Dialect, variables: Variables): Result.Result<string, string> => {
  if ((dialect === "literal" || dialect === "opencode") && text.includes("${")) {
    return Result.fail("has ${ in it, which is text to this host and a reference to the pool")
  }
  if (dialect === "opencode") {
    if (text.includes("{file:")) return Result.fail("takes a text from a file ({file:…}), which only opencode does")
    return Result.succeed(text.replace(/\{env:([A-Za-z_]\w*)\}/g, "${$1}"))
  }
  const own = text
    .replace(/\$\{CLAUDE_PROJECT_DIR(?::-[^}]*)?\}/g, "${workspaceFolder}")
    .replace(/(?<!\$)\$([A-Za-z_]\w*)/g, (whole, name: string) =>
      dialect === "gemini" && isVariable(name, variables) ? `\${${name}}` : whole
    )
  return Result.map(unknownReference(own), () => own)
}

/** Gemini leaves what is no variable as it is: a `$` may as well be part of a password. */
const isVariable = (name: string, variables: Variables): boolean =>
  variable(variables, name) !== undefined || /^[A-Z][A-Z0-9_]+$/.test(name)

/** Fails where a reference is none of the pool's; that a variable has no value is another matter. */
const unknownReference = (text: string): Result.Result<void, string> => {
  for (const piece of text.match(/\$?\$\{(?:[^}]*\})?/g) ?? []) {
    const resolved = interpolate(piece, nothing)
    if (Result.isFailure(resolved) && Option.isNone(resolved.failure.variable)) {
      return Result.fail(`has a reference that only this host knows: ${resolved.failure.reason}`)
    }
  }
  return Result.succeed(undefined)
}

const nothing = { variables: {}, inputs: Inputs.none, workspaceFolder: "", userHome: "" }

/** Whether a text depends on the project that a host has open. */
export const isOfProject = (text: string): boolean =>
  text.includes("${workspaceFolder}") || /^\.{1,2}(?:\/|$)/.test(text)

/** A text without the differences between spellings of the same. */
export const spelling = (text: string): string => text.replaceAll("${env:", "${")
