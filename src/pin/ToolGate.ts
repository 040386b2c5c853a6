/**
 * The gate of one name that pins its tools: what its lock file has accepted, what its server lists, and what is between the
 * two. A server without an entry is trusted on first use. Plain synchronous code; lives as long as the name pins.
 */
import { Result } from "effect"
import type { PinSettings } from "../config/ServerSpec.ts"
import { escaped } from "../ascii.ts"
import type { Digests, Gate } from "../mux/Gate.ts"
import type { Refusal } from "../mux/Upstream.ts"
import type { PinDifference, PinStatus, PinSummary } from "../PoolStatus.ts"
import { visible } from "../printable.ts"
import * as Shell from "../Shell.ts"
import { invalidParams } from "../WireError.ts"
import { type Defined, nameOf, sha256 } from "./Definition.ts"
import * as Difference from "./Difference.ts"
import type { Tools } from "./Lock.ts"
import type { LockFile } from "./LockFile.ts"

export interface ToolGateOptions {
  /** The name in the pool. */
  readonly name: string
  readonly settings: PinSettings
  readonly lockFile: LockFile
  readonly log: (level: "info" | "warning", line: string) => void
  /** Its sessions are offered other tools from now on. */
  readonly onOffered: () => void
}

/** How a tool differs from what was accepted. */
type Kind = PinDifference["difference"]

export class ToolGate implements Gate {
  readonly settings: PinSettings
  readonly blocks: boolean
  offers = new WeakMap<Buffer, Buffer>()
  readonly #options: ToolGateOptions
  /** What is accepted; null where nothing has been seen yet. */
  #accepted: Tools | null = null
  /** Why nobody knows what is accepted. */
  #trouble: string | null = null
  /** What a process listed last; null before the first. */
  #listed: Tools | null = null
  /** What the log has told already, and how often it did. */
  #told = new Set<string>()
  #tellings = 0
  /** The differences that somebody has looked at last; null where nobody has since some were accepted. */
  #shown: ReadonlySet<string> | null = null

  constructor(options: ToolGateOptions) {
    this.#options = options
    this.settings = options.settings
    this.blocks = options.settings.mode === "block"
    this.#take(options.lockFile.read(), false)
  }

  // --- for the message path ---

  digests(tools: ReadonlyArray<unknown>): Digests {
    const digests = new Map<string, string | null>()
    for (const tool of tools) {
      const name = nameOf(tool)
      if (name === null) continue
      const digest = sha256(tool)
      // Of two definitions under one name nobody knows which one is called.
      digests.set(name, digests.has(name) && digests.get(name) !== digest ? null : digest)
    }
    return digests
  }

  listed(tools: ReadonlyArray<unknown>, digests: Digests): void {
    const listed = new Map<string, Defined>()
    for (const tool of tools) {
      const name = nameOf(tool)
      const digest = name === null ? undefined : digests.get(name)
      if (name !== null && digest !== undefined) listed.set(name, { sha256: digest ?? "", definition: tool })
    }
    this.#listed = listed
    this.look()
    this.#tell()
  }

  refusal(tool: string | null, digests: Digests | null): Refusal | null {
    if (this.#trouble !== null) {
      const mend = 'mend the file, then run "mcp-pool reload"'
      return this.#refuse(tool, `cannot be compared, since ${this.#trouble}`, null, mend)
    }
    if (tool === null) return { code: invalidParams, message: "tools/call names no tool" }
    if (digests === null) {
      const why = "cannot be compared, since the server does not list its tools"
      return this.#refuse(tool, why, null, "the next call asks it again")
    }
    const digest = digests.get(tool)
    const accepted = this.#accepted?.get(tool)
    if (accepted !== undefined && (digest === undefined || digest === accepted.sha256)) return null
    const { name } = this.#options
    const look = Shell.line("mcp-pool", "pin", name)
    const accept = Shell.line("mcp-pool", "pin", "--accept", name)
    const hint = `look at it with "${look}", accept it with "${accept}"`
    if (accepted !== undefined) return this.#refuse(tool, "has changed since it was accepted", "changed", hint)
    return this.#refuse(tool, digest === undefined ? "is not listed" : "is new and not accepted", "new", hint)
  }

  offered(result: string): string {
    const value = JSON.parse(Buffer.from(result, "latin1").toString("utf8")) as { readonly tools?: unknown }
    const { tools } = value
    // Written anew in any case: of two equal keys another reader may take the one that was not compared.
    const offered = Array.isArray(tools) ? tools.filter((tool) => this.#isOffered(tool)) : []
    try {
      return escaped(JSON.stringify({ ...value, tools: offered }))
    } catch {
      // Nested too deeply for that.
      return '{"tools":[]}'
    }
  }

  #isOffered(tool: unknown): boolean {
    if (this.#trouble !== null) return false
    const name = nameOf(tool)
    const digest = name === null ? null : sha256(tool)
    if (name === null || digest === null) return false
    // What is not seen yet is about to be, and trusted then.
    return this.#accepted === null || this.#accepted.get(name)?.sha256 === digest
  }

  #refuse(tool: string | null, why: string, difference: Kind | null, hint: string): Refusal {
    const { name } = this.#options
    const shown = tool === null ? "a tool" : `tool "${visible(tool.slice(0, maxName))}"`
    const data = { kind: "ToolNotAccepted", server: name, tool, ...(difference === null ? {} : { difference }), hint }
    return { code: invalidParams, message: `${shown} of server "${name}" ${why}: ${hint}`, data }
  }

  // --- for people ---

  /** Reads the lock file again where it has changed; what is seen for the first time is written there. */
  look(): void {
    const { lockFile, log } = this.#options
    const { server } = this.settings
    const read = lockFile.read()
    // A server that lists nothing yet may still be registering its tools.
    const isFirst = Result.isSuccess(read) && !read.success.has(server) && (this.#listed?.size ?? 0) > 0
    if (!isFirst) return this.#take(read, true)
    const tools = comparable(this.#listed!)
    const written = lockFile.write(server, tools)
    // Where nothing was amiss, all of them are offered already.
    this.#take(written, Result.isFailure(written) || this.#trouble !== null)
    const count = tools.size === 1 ? "1 tool is" : `${tools.size} tools are`
    if (Result.isSuccess(written)) log("info", `${count} pinned as first seen, in ${lockFile.path}`)
  }

  /** Accepts what was listed last, unless it is other than what somebody has looked at, and has not accepted since; says what that changed, or fails with why it cannot be. */
  accept(): Result.Result<ReadonlyArray<PinDifference>, string> {
    this.look()
    if (this.#trouble !== null) return Result.fail(this.#trouble)
    if (this.#listed === null)
      return Result.fail("its tools are not known: it has not listed them since the daemon started")
    if (this.#shown !== null && !this.#kinds().every((kind) => this.#shown!.has(keyOf(kind))))
      return Result.fail("it lists others since they were shown: look at these, and accept them then")
    const found = this.#kinds().filter((kind) => !isIncomparable(kind))
    if (found.length === 0 && this.#kinds().length > 0) return Result.fail("what differs cannot be accepted")
    const differences = this.#shownOf(found)
    if (differences.length === 0) return Result.succeed(differences)
    const written = this.#options.lockFile.write(this.settings.server, comparable(this.#listed))
    if (Result.isFailure(written)) return Result.fail(written.failure)
    this.#shown = null
    this.#take(written, true)
    return Result.succeed(differences)
  }

  /** How a tool that the server lists differs; null where it does not. */
  differenceOf(tool: string): Kind | null {
    const listed = this.#listed?.get(tool)
    return listed === undefined || this.#accepted === null ? null : this.#kindOf(tool, listed)
  }

  /** What `status` says of it: costs nothing. */
  get summary(): PinSummary {
    return { mode: this.settings.mode, differences: this.#kinds().length, trouble: this.#trouble }
  }

  /** As {@link status}, for somebody who may accept it then. */
  show(): PinStatus {
    const status = this.status()
    this.#shown = new Set(this.#kinds().map(keyOf))
    return status
  }

  status(): PinStatus {
    this.look()
    return {
      server: this.#options.name,
      mode: this.settings.mode,
      file: this.#options.lockFile.path,
      pinned: this.#accepted?.size ?? null,
      listed: this.#listed?.size ?? null,
      trouble: this.#trouble,
      differences: this.#shownOf(this.#kinds())
    }
  }

  #take(read: ReturnType<LockFile["read"]>, announces: boolean): void {
    const [before, trouble] = [this.#accepted, this.#trouble]
    this.#trouble = Result.isFailure(read) ? read.failure : null
    if (Result.isSuccess(read)) this.#accepted = read.success.get(this.settings.server) ?? null
    if (this.#trouble === trouble && isSame(before, this.#accepted)) return
    if (this.#trouble !== null && this.#trouble !== trouble) this.#options.log("warning", this.#trouble)
    this.offers = new WeakMap()
    this.#told = new Set()
    this.#tellings = 0
    if (this.blocks && announces) this.#options.onOffered()
  }

  /** Each change once. */
  #tell(): void {
    const { log } = this.#options
    if (this.#trouble !== null) return
    const kinds = this.#kinds()
    const still = new Set(kinds.map(keyOf))
    for (const key of this.#told) if (!still.has(key)) this.#told.delete(key)
    const news = kinds.filter((kind) => !this.#told.has(keyOf(kind)))
    for (const [index, kind] of news.entries()) {
      this.#told.add(keyOf(kind))
      if (index < maxTold && this.#tellings < maxTellings) log("warning", this.#lineOf(kind))
    }
    const others = news.length - maxTold
    if (others > 0 && this.#tellings < maxTellings) log("warning", `${others} more tools differ from what was accepted`)
    if (news.length > 0) this.#tellings++
    // A server may change them for ever.
    if (news.length > 0 && this.#tellings === maxTellings)
      log("warning", "it changes its tools too often to be told of")
  }

  #lineOf({ difference, tool }: Found): string {
    const offered = this.blocks && difference !== "vanished" ? ", and is not offered" : ""
    const command = Shell.line("mcp-pool", "pin", this.#options.name)
    const head = `tool "${visible(tool.slice(0, maxName))}" ${inWords[difference]}${offered}: see "${command}"`
    return [head, ...this.#linesOf(tool).slice(0, maxLogged)].join("\n")
  }

  #linesOf(tool: string): ReadonlyArray<string> {
    if (this.#listed?.get(tool)?.sha256 === "") return [incomparable]
    return Difference.lines(this.#accepted?.get(tool)?.definition, this.#listed?.get(tool)?.definition)
  }

  #shownOf(kinds: ReadonlyArray<Found>): ReadonlyArray<PinDifference> {
    return kinds.map(({ difference, tool }) => ({ tool, difference, lines: this.#linesOf(tool) }))
  }

  #kinds(): ReadonlyArray<Found> {
    if (this.#accepted === null || this.#listed === null) return []
    const found: Array<Found> = []
    for (const [tool, listed] of this.#listed) {
      const difference = this.#kindOf(tool, listed)
      if (difference !== null) found.push({ tool, difference, digest: listed.sha256 })
    }
    for (const tool of this.#accepted.keys()) {
      if (!this.#listed.has(tool)) found.push({ tool, difference: "vanished", digest: "" })
    }
    return found.sort((a, b) => (a.tool < b.tool ? -1 : 1))
  }

  #kindOf(tool: string, listed: Defined): Kind | null {
    const accepted = this.#accepted?.get(tool)
    if (accepted === undefined) return "new"
    return accepted.sha256 === listed.sha256 ? null : "changed"
  }
}

interface Found {
  readonly tool: string
  readonly difference: Kind
  /** Empty where it has none, or is listed no more. */
  readonly digest: string
}

const keyOf = ({ difference, digest, tool }: Found): string => `${difference} ${digest} ${tool}`

const isIncomparable = ({ difference, digest }: Found): boolean => difference !== "vanished" && digest === ""

/** Without those of which nobody can say what they are. */
const comparable = (tools: Tools): Tools => new Map([...tools].filter(([, { sha256 }]) => sha256 !== ""))

const isSame = (a: Tools | null, b: Tools | null): boolean =>
  a === b ||
  (a !== null &&
    b !== null &&
    a.size === b.size &&
    [...a].every(([name, { sha256 }]) => b.get(name)?.sha256 === sha256))

const inWords: { readonly [K in Kind]: string } = {
  changed: "has changed since it was accepted",
  new: "is new and not accepted",
  vanished: "is listed no more"
}

const incomparable = "listed twice, not as the same, or nested too deeply: it cannot be accepted"

/** Characters of a name. */
const maxName = 200
/** Differences that the log tells of at a time, and lines of each. */
const maxTold = 10
const maxLogged = 20
/** How often it tells of some, until others are accepted. */
const maxTellings = 50
