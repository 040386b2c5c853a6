/**
 * What clients have asked under load, how each request ended, and what a server wrote down of its executions; the two are
 * held against each other in the end. Memory is taken once, so that what grows is not this.
 */
import * as fs from "node:fs"

/** The tools of the fixture `soak.ts`, and the list of them. */
export const tools = ["write", "slow", "read", "progress", "bump", "crash", "list"] as const
export type Tool = (typeof tools)[number]

/** How a request ended; `not sent` are the pool's errors that promise so. */
export const outcomes = ["open", "result", "unknown outcome", "not sent", "cancelled", "left", "another error"] as const
export type Outcome = (typeof outcomes)[number]

/** Whether the fixture says of a tool that it may be run again. */
export const isRepeatable = (tool: Tool): boolean => tool === "read" || tool === "progress" || tool === "bump"

export class SoakLedger {
  #asked = 0
  #violationCount = 0
  readonly #violations: Array<string> = []
  readonly #tools = new Uint8Array(maxRequests)
  readonly #outcomes = new Uint8Array(maxRequests)
  /** Which process answered. */
  readonly #pids = new Int32Array(maxRequests)

  get asked(): number {
    return this.#asked
  }

  /** What was not as it must be; the first ones, and how many more. */
  get violations(): ReadonlyArray<string> {
    const more = this.#violationCount - this.#violations.length
    return more === 0 ? this.#violations : [...this.#violations, `and ${more} more`]
  }

  violate(text: string): void {
    this.#violationCount++
    if (this.#violations.length < maxViolations) this.#violations.push(text)
  }

  /** A new request; its number. */
  ask(tool: Tool): number {
    if (this.#asked === maxRequests) throw new Error(`more than ${maxRequests} requests`)
    this.#tools[this.#asked] = tools.indexOf(tool)
    return this.#asked++
  }

  settle(marker: number, outcome: Outcome, pid = 0): void {
    if (this.#outcomes[marker] !== 0) this.violate(`${this.#name(marker)} ended twice: ${outcome}`)
    this.#outcomes[marker] = outcomes.indexOf(outcome)
    this.#pids[marker] = pid
  }

  /** How many ended in which way. */
  counts(): { readonly [outcome in Outcome]: number } {
    const counts = outcomes.map(() => 0)
    for (let marker = 0; marker < this.#asked; marker++) counts[this.#outcomes[marker]!]!++
    // The cast: one count for each outcome.
    return Object.fromEntries(outcomes.map((outcome, i) => [outcome, counts[i]])) as { [outcome in Outcome]: number }
  }

  /** Holds all that was asked against all that was run; `isCalm` where nothing may have been lost. Says how many ran twice. */
  check(file: string, isCalm: boolean): number {
    const runs = this.#read(file)
    let twice = 0
    for (let marker = 0; marker < this.#asked; marker++) {
      const pids = runs.get(marker) ?? []
      if (pids.length > 1) twice++
      const wrong = this.#wrongWith(marker, pids, isCalm)
      if (wrong !== null) this.violate(`${this.#name(marker)} ${wrong}; it was run by [${pids.join(", ")}]`)
    }
    return twice
  }

  #wrongWith(marker: number, pids: ReadonlyArray<number>, isCalm: boolean): string | null {
    const tool = tools[this.#tools[marker]!]!
    const outcome = outcomes[this.#outcomes[marker]!]!
    if (outcome === "open") return "was never answered"
    if (tool === "list") return null
    if (pids.length > (isRepeatable(tool) && !isCalm ? 2 : 1)) return "was run too often"
    if (pids.length === 2 && pids[0] === pids[1]) return "was run twice by one process"
    if (outcome === "not sent" && pids.length > 0) return "was run, though its error says that it was not sent"
    if (outcome === "result" && !pids.includes(this.#pids[marker]!)) {
      return `has a result of ${this.#pids[marker]}, which did not run it`
    }
    return null
  }

  #read(file: string): ReadonlyMap<number, ReadonlyArray<number>> {
    const runs = new Map<number, Array<number>>()
    for (const line of fs.readFileSync(file, "latin1").split("\n")) {
      if (line === "") continue
      const [marker, tool, pid] = line.split(" ")
      if (tools[this.#tools[Number(marker)]!] !== tool) this.violate(`an execution that nobody asked for: ${line}`)
      const pids = runs.get(Number(marker))
      if (pids === undefined) runs.set(Number(marker), [Number(pid)])
      else pids.push(Number(pid))
    }
    return runs
  }

  #name(marker: number): string {
    return `request ${marker} (${tools[this.#tools[marker]!]}, ${outcomes[this.#outcomes[marker]!]})`
  }
}

/** Some hundreds for each of thousands of crashes. */
const maxRequests = 4 * 1024 * 1024
const maxViolations = 30
