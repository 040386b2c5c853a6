/** What the pool knows of a host's configuration: where it is, and how its entries are read and written. Types only. */
import type { Variables } from "../config/Interpolation.ts"
import type { ServerOptions } from "../config/ServerSpec.ts"
import type { Changes } from "./JsonEdit.ts"

/** As `config --for` and `adopt --host` name it. */
export type HostId = "claude-code" | "claude-desktop" | "vscode" | "cursor" | "codex" | "gemini" | "opencode" | "zed"

/** On which machine, and whose. */
export interface Where {
  readonly home: string
  readonly platform: NodeJS.Platform
  readonly variables: Variables
}

/** What a host is told to run. */
export interface Run {
  readonly command: string
  readonly args: ReadonlyArray<string>
}

/** An entry as the pool would have it, or why it stays as it is. */
export type Reading =
  | { readonly _tag: "Server"; readonly options: ServerOptions }
  | { readonly _tag: "Kept"; readonly reason: string }

/** An object of a host's file. */
export type Entry = Readonly<Record<string, unknown>>

/** How a host spells its entries. */
export interface Shape {
  readonly read: (entry: Entry, variables: Variables) => Reading
  /** What an entry runs, where it can be told. */
  readonly run: (entry: Entry) => Run | undefined
  /** What is to change for an entry to run something else; what the pool does for it now goes, all else stays. */
  readonly rewrite: (entry: Entry, run: Run) => Changes
  /** A new entry. */
  readonly fresh: (run: Run) => Entry
}

/** One host. */
export interface Host {
  readonly id: HostId
  /** As people call it. */
  readonly title: string
  readonly format: "json" | "toml"
  /** The key of its file that holds its servers by name. */
  readonly key: string
  /** Where its file for one user has projects with servers of their own under the same key. */
  readonly projects?: string
  /** Absolute paths of a user's files; `*` is any one name. */
  readonly user: (where: Where) => ReadonlyArray<string>
  /** Paths from a project's directory. */
  readonly project: ReadonlyArray<string>
  readonly shape: Shape
}
