/** The lines of a stream, which may break at any moment: that is its end, and nothing else. */
import * as readline from "node:readline"

export const read = (input: NodeJS.ReadableStream, onLine: (line: string) => void): void => {
  const lines = readline.createInterface({ input, crlfDelay: Infinity })
  // It passes the stream's error on.
  lines.on("line", onLine).on("error", () => {})
}
