/** What is printed for `--help`, `--version` and a command line that cannot be understood. */
import { Console } from "effect"
import { type CliError, CliOutput } from "effect/cli"
import { printable } from "../printable.ts"

/** Help as `effect/cli` lays it out; a mistake as one line, not as a page of help with an error below. */
export const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Console.error(usageLine(event.commandPath, event.errors))
      : CliOutput.defaultPresenter.present(event)
}

export const layer = CliOutput.layerPresenter(presenter)

/** One line: what is wrong, what may have been meant, where to look. */
export const usageLine = (
  commandPath: ReadonlyArray<string>,
  errors: ReadonlyArray<CliError.NonShowHelpErrors>
): string => `mcp-pool: ${errors.map(problem).join("; ")} (see "${commandPath.join(" ")} --help")`

const problem = (error: CliError.NonShowHelpErrors): string => {
  switch (error._tag) {
    case "UnknownSubcommand":
      return `unknown command "${printable(error.subcommand)}"${didYouMean(error.suggestions)}`
    case "UnrecognizedOption":
      return `unknown flag ${printable(error.option)}${didYouMean(error.suggestions)}`
    default:
      return oneLine(error.message)
  }
}

const oneLine = (message: string): string => {
  const line = printable(message).replace(/\s+/g, " ").trim()
  return line.charAt(0).toLowerCase() + line.slice(1)
}

const didYouMean = (suggestions: ReadonlyArray<string>): string =>
  suggestions.length === 0 ? "" : `, did you mean ${suggestions.join(" or ")}?`
