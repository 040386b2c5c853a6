/** The pins of a pool's names: which of them have a gate, and what it says. Lives as long as the pool. */
import { Result } from "effect"
import type { PinSettings } from "../config/ServerSpec.ts"
import type { Gate, Pin } from "../mux/Gate.ts"
import type { PinAccepted, PinStatus, PinSummary } from "../PoolStatus.ts"
import { LockFile } from "./LockFile.ts"
import { ToolGate } from "./ToolGate.ts"

export interface PinsOptions {
  /** About the tools of a name. */
  readonly log: (name: string, level: "info" | "warning", line: string) => void
  /** The sessions of a name are offered other tools from now on. */
  readonly onOffered: (name: string) => void
}

export class Pins {
  readonly #options: PinsOptions
  readonly #pins = new Map<string, { gate: ToolGate | null }>()
  /** By path: names of one configuration file share theirs. */
  readonly #files = new Map<string, LockFile>()

  constructor(options: PinsOptions) {
    this.#options = options
  }

  /** What the sessions of a name go by: the same object until the name is forgotten. */
  of(name: string): Pin {
    return this.#of(name)
  }

  gatesOf(names: ReadonlyArray<string>): ReadonlyArray<Gate> {
    return names.flatMap((name) => this.#of(name).gate ?? [])
  }

  /** A name pins its tools like this from now on; what stands in its lock file by now holds. */
  set(name: string, settings: PinSettings | undefined): void {
    const pin = this.#of(name)
    const before = pin.gate
    if (settings !== undefined && before !== null && isSame(before.settings, settings)) return before.look()
    pin.gate = settings === undefined ? null : this.#make(name, settings)
    if (before?.blocks === true || pin.gate?.blocks === true) this.#options.onOffered(name)
  }

  forget(name: string): void {
    this.#pins.delete(name)
  }

  /** What `status` says of a name; undefined where it pins nothing. */
  summaryOf(name: string): PinSummary | undefined {
    return this.#pins.get(name)?.gate?.summary
  }

  /** What differs, for somebody who looks at it. */
  show(name: string): PinStatus {
    return this.#pins.get(name)?.gate?.show() ?? { ...unpinned, server: name }
  }

  /** How a tool differs from what was accepted, and whether it is offered; undefined where it does not. */
  markOf(
    name: string,
    tool: string
  ): { readonly difference: "changed" | "new"; readonly offered: boolean } | undefined {
    const gate = this.#pins.get(name)?.gate ?? null
    const difference = gate?.differenceOf(tool) ?? null
    return gate === null || difference === null || difference === "vanished"
      ? undefined
      : { difference, offered: !gate.blocks }
  }

  /** Accepts what the server of a name listed last. */
  accept(name: string): PinAccepted {
    const gate = this.#pins.get(name)?.gate ?? null
    if (gate === null) return { status: this.show(name), accepted: [], reason: "it pins nothing: pool.pin is off" }
    const done = gate.accept()
    if (Result.isFailure(done)) return { status: gate.show(), accepted: [], reason: done.failure }
    return { status: gate.status(), accepted: done.success, reason: null }
  }

  #of(name: string): { gate: ToolGate | null } {
    let pin = this.#pins.get(name)
    if (pin === undefined) this.#pins.set(name, (pin = { gate: null }))
    return pin
  }

  #make(name: string, settings: PinSettings): ToolGate {
    const { log, onOffered } = this.#options
    let lockFile = this.#files.get(settings.file)
    if (lockFile === undefined) this.#files.set(settings.file, (lockFile = new LockFile(settings.file)))
    return new ToolGate({
      name,
      settings,
      lockFile,
      log: (level, line) => log(name, level, line),
      onOffered: () => onOffered(name)
    })
  }
}

const unpinned: Omit<PinStatus, "server"> = {
  mode: null,
  file: null,
  pinned: null,
  listed: null,
  trouble: null,
  differences: []
}

const isSame = (a: PinSettings, b: PinSettings): boolean =>
  a.mode === b.mode && a.file === b.file && a.server === b.server
