/** The daemon's own log: one line an event on stderr, for people or for machines. Never a payload or a value. */
import { Effect, Layer, Logger, type LogLevel, References } from "effect"
import { printable } from "./printable.ts"

/** For people, or one JSON object a line. */
export type Format = "pretty" | "json"

/** The log on stderr, from the level on. */
export const layer = (options: { readonly format: Format; readonly level: LogLevel.LogLevel }): Layer.Layer<never> =>
  Layer.mergeAll(
    Logger.layer([options.format === "json" ? json : pretty]),
    Layer.succeed(References.MinimumLogLevel, options.level),
    // A line whose reader is gone is lost, and no reason to end.
    Layer.effectDiscard(Effect.sync(() => process.stderr.on("error", () => {})))
  )

const json = Logger.make((entry) => {
  const { annotations, level, message, timestamp } = Logger.formatStructured.log(entry)
  const text = Array.isArray(message) ? message.join(" ") : message
  write(JSON.stringify({ timestamp, level: level.toLowerCase(), message: text, ...annotations }))
})

const pretty = Logger.make((entry) => {
  const { annotations, level, message, timestamp } = Logger.formatStructured.log(entry)
  const text = Array.isArray(message) ? message.join(" ") : String(message)
  const { hint, server, ...rest } = annotations
  // Most events name their server first.
  const facts = { ...(server === undefined || text.startsWith(String(server)) ? {} : { server }), ...rest }
  const shown = Object.entries(facts).map(([name, value]) => `${name}=${String(value)}`)
  write(
    [
      timestamp.slice(11, 19),
      colored(level),
      oneLine(text),
      ...(shown.length > 0 ? [oneLine(`(${shown.join(" ")})`)] : []),
      ...(hint === undefined ? [] : [oneLine(`— ${String(hint)}`)])
    ].join(" ")
  )
})

/** Clients and servers choose some of the words. */
const oneLine = (text: string): string => printable(text).replace(/\s+/g, " ")

const colors: { readonly [level: string]: string } = { WARN: "33", ERROR: "31", DEBUG: "2" }

const colored = (level: string): string => {
  const padded = level.padEnd(5)
  const color = colors[level]
  return color !== undefined && process.stderr.isTTY && process.env["NO_COLOR"] === undefined
    ? `\u001b[${color}m${padded}\u001b[0m`
    : padded
}

const write = (line: string): void => {
  process.stderr.write(`${line}\n`)
}
