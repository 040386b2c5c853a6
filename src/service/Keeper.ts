/** Whoever keeps the daemon of one runtime directory running: systemd or launchd, by one interface. */
import { Context, type Effect, Schema } from "effect"
import type { Description, Parsed } from "./Description.ts"

/** The operating system, as Node calls it: it decides who keeps services running. */
export const Platform = Context.Reference<string>("effect-mcp-pool/service/Platform", {
  defaultValue: () => process.platform
})

/** A command line. */
export type Argv = readonly [string, ...ReadonlyArray<string>]

/** What it says of the service at this moment. */
export interface State {
  /** Why it cannot be asked, in its own words; null where it answers. */
  readonly silence: string | null
  /** Whether it starts the service by itself at the next login; null where that is not known. */
  readonly isEnabled: boolean | null
  /** Of the daemon; null where none of the service's runs. */
  readonly pid: number | null
  /** Its own words for the state, e.g. `active (running)`. */
  readonly words: string
}

export interface Keeper {
  readonly kind: "systemd" | "launchd"
  /** What it calls the service. */
  readonly name: string
  /** Where the service is described. */
  readonly file: string
  /** The whole text of that file. */
  readonly text: (description: Description) => string
  /** What such a text says, edited or not; undefined where it starts nothing. */
  readonly parse: (text: string) => Parsed | undefined
  /** Have it read the file, and start the service at each login; in this order. They fail where it does not answer. */
  readonly register: ReadonlyArray<Argv>
  /** Take away what would keep it from starting the service as the file has it now; they may fail. */
  readonly clear: ReadonlyArray<Argv>
  /** Starts the service where it does not run; returns when its process is there. */
  readonly start: Argv
  /** Stops the service until it is started again. */
  readonly stop: Argv
  /** Stop it, and start it at no login any more. */
  readonly unregister: ReadonlyArray<Argv>
  /** Once the file is gone. */
  readonly forget: ReadonlyArray<Argv>
  /** Other files that {@link register} may have made. */
  readonly links: ReadonlyArray<string>
  /** What its commands need of the environment. */
  readonly env: Readonly<Record<string, string>>
  readonly state: Effect.Effect<State>
  /** Whether the service ends with the user's last session; null where that is not known. */
  readonly endsWithSession: Effect.Effect<boolean | null>
  /** A command for people, that shows what the daemon wrote last. */
  readonly logs: Argv
}

/** There is nobody who would keep a service of the user's running. */
export class NoKeeper extends Schema.TaggedError<NoKeeper>()("NoKeeper", {
  platform: Schema.String
}) {
  override get message(): string {
    return `a service needs systemd or launchd, and ${this.platform} has neither: have "mcp-pool serve" started in its own way`
  }
}
