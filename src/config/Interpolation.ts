/**
 * The `${…}` references of configuration files: `${VAR}`, `${VAR:-default}`, `${env:VAR}`, `${input:id}`,
 * `${workspaceFolder}` and `${userHome}`. Pure. What cannot be resolved is an error, never an empty string, and an error
 * tells names only: never a value, a default or text around a reference.
 */
import { Option, Result } from "effect"
import type { Inputs } from "./Inputs.ts"

/** An environment as Node has it. */
export type Variables = Readonly<Record<string, string | undefined>>

/** What references can refer to. */
export interface References {
  /** The pool's own environment, all of it. */
  readonly variables: Variables
  readonly inputs: Inputs
  readonly workspaceFolder: string
  readonly userHome: string
}

/** A reference that has no value, or is none. */
export interface Unresolved {
  /** The variable or input, where it is one. */
  readonly variable: Option.Option<string>
  readonly reason: string
}

/** Replaces the references in `text`. What they refer to is not searched for references again. */
export const interpolate = (text: string, references: References): Result.Result<string, Unresolved> => {
  let result = ""
  let position = 0
  for (;;) {
    const start = text.indexOf("${", position)
    if (start === -1) break
    if (text[start - 1] === "$") return malformed("`$${` is not supported: there is no escape for `${`")
    const end = text.indexOf("}", start)
    if (end === -1) return malformed("`${` has no closing `}`")
    const value = resolve(text.slice(start + 2, end), references)
    if (Result.isFailure(value)) return Result.fail(value.failure)
    result += text.slice(position, start) + value.success
    position = end + 1
  }
  result += text.slice(position)
  // Node's spawn would throw, and its error shows the text.
  return result.includes("\0") ? malformed("contains a NUL character") : Result.succeed(result)
}

/** The value of a variable; not of what an object inherits, such as `constructor`. */
export const variable = (variables: Variables, name: string): string | undefined =>
  Object.hasOwn(variables, name) ? variables[name] : undefined

const resolve = (body: string, references: References): Result.Result<string, Unresolved> => {
  if (body === "workspaceFolder") return Result.succeed(references.workspaceFolder)
  if (body === "userHome") return Result.succeed(references.userHome)
  const match = /^(?:env:)?([A-Za-z_]\w*)(?::-([^]*))?$/.exec(body)
  if (match !== null) return resolveVariable(match[1]!, match[2], references.variables)
  if (body.startsWith("input:") && body.length > "input:".length) {
    return resolveInput(body.slice("input:".length), references)
  }
  // Only what looks like a reference is shown: in `env` this may as well be a piece of a password.
  const shown = /^[A-Za-z]\w*(:[\w.-]*)?$/.test(body) ? body : "…"
  return malformed(`unknown reference \${${shown}}`)
}

const resolveVariable = (
  name: string,
  fallback: string | undefined,
  variables: Variables
): Result.Result<string, Unresolved> => {
  if (fallback?.includes("${")) {
    return malformed(`\${${name}:-…}: a reference inside a default is not supported`)
  }
  const value = variable(variables, name)
  // As in a shell, `:-` is also for a variable that is set and empty.
  if (fallback !== undefined && (value === undefined || value === "")) return Result.succeed(fallback)
  if (value !== undefined) return Result.succeed(value)
  return Result.fail({ variable: Option.some(name), reason: `the variable ${name} is not set, and has no default` })
}

const resolveInput = (id: string, references: References): Result.Result<string, Unresolved> => {
  const name = `MCP_POOL_INPUT_${id.replace(/[^A-Za-z0-9]/g, "_")}`
  const value = variable(references.variables, name) ?? variable(references.variables, name.toUpperCase())
  if (value !== undefined) return Result.succeed(value)
  const { file, values } = references.inputs
  if (Result.isFailure(values)) {
    return Result.fail({ variable: Option.some(id), reason: `the input "${id}" has no value: ${values.failure}` })
  }
  const given = values.success.get(id)
  if (given !== undefined) return Result.succeed(given)
  const where = Option.match(file, { onNone: () => "", onSome: (path) => `, or "${id}" in ${path} (mode 0600)` })
  return Result.fail({
    variable: Option.some(id),
    reason: `the input "${id}" has no value: set ${name}${where}`
  })
}

const malformed = (reason: string): Result.Result<never, Unresolved> => Result.fail({ variable: Option.none(), reason })
