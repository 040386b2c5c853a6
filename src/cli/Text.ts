/** How the command line writes things for people: times, sizes, tables, colours. Pure. */
import { CliOutput } from "effect/cli"
import { printable } from "../printable.ts"

/** Colours, or none. */
export interface Paint {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
  readonly red: (text: string) => string
  readonly green: (text: string) => string
  readonly yellow: (text: string) => string
}

export const paint = (color: boolean): Paint => {
  const style = (code: number) => (text: string) => (color && text !== "" ? `\x1b[${code}m${text}\x1b[0m` : text)
  return { bold: style(1), dim: style(2), red: style(31), green: style(32), yellow: style(33) }
}

/** A time span in its two largest units: `3m 12s`, `2h 5m`, `4d 3h`. */
export const span = (milliseconds: number): string => {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000))
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600), Math.floor(seconds / 60)]
  if (days > 0) return `${days}d ${hours % 24}h`
  if (hours > 0) return `${hours}h ${minutes % 60}m`
  if (minutes > 0) return `${minutes}m ${seconds % 60}s`
  return `${seconds}s`
}

/** A size in decimal units: `712 B`, `12 kB`, `48 MB`, `1.2 GB`. */
export const size = (bytes: number): string => {
  let value = bytes
  for (const unit of ["B", "kB", "MB"]) {
    if (value < 999.5) return `${Math.round(value)} ${unit}`
    value /= 1000
  }
  return `${value.toFixed(1)} GB`
}

/** The first line of a text, cut to a width in columns. */
export const firstLine = (text: string, width: number): string => {
  const line = printable(text.trimStart().split("\n", 1)[0]!).trimEnd()
  if (CliOutput.displayWidth(line) <= width) return line
  let cut = line.slice(0, Math.max(0, width - 1))
  while (CliOutput.displayWidth(cut) > width - 1) cut = cut.slice(0, -1)
  return `${cut.trimEnd()}…`
}

/** One column of a table. */
export interface Column<Row> {
  readonly head: string
  readonly text: (row: Row) => string
  readonly right?: boolean
  readonly style?: (text: string, row: Row) => string
}

/** Lines of a table, the head first; widths are what the texts take on a screen, whatever their style. */
export const table = <Row>(
  rows: ReadonlyArray<Row>,
  columns: ReadonlyArray<Column<Row>>,
  { dim }: Paint
): ReadonlyArray<string> => {
  const texts = rows.map((row) => columns.map(({ text }) => text(row).replace(/\s+/g, " ")))
  const widths = columns.map(({ head }, i) =>
    Math.max(CliOutput.displayWidth(head), ...texts.map((cells) => CliOutput.displayWidth(cells[i]!)))
  )
  const line = (cells: ReadonlyArray<string>, style: (text: string, column: number) => string) =>
    cells
      .map((cell, i) => {
        const space = " ".repeat(widths[i]! - CliOutput.displayWidth(cell))
        const styled = style(cell, i)
        return columns[i]!.right === true ? space + styled : i === cells.length - 1 ? styled : styled + space
      })
      .join("  ")
      .trimEnd()
  return [
    line(
      columns.map(({ head }) => head),
      dim
    ),
    ...rows.map((row, r) => line(texts[r]!, (text, i) => columns[i]!.style?.(text, row) ?? text))
  ]
}
