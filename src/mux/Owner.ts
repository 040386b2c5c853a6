/** Whose requests count together: see {@link Owner}. Lives as long as who has it. */

/** Whose requests count together: a session's own, and all that come as one where each stands alone. */
export interface Owner {
  /** All of them are one client's: what a server asks is for it, whichever of its requests that is about. */
  readonly isOneClient: boolean
  /** Requests that were handed to a process and have no answer yet. */
  executing: number
  /** Cursors of lists that it was given, each with the process that gave it. */
  readonly cursors: Map<string, object>
}

/** One with nothing under way. */
export const make = ({ isOneClient }: Pick<Owner, "isOneClient">): Owner => ({
  isOneClient,
  executing: 0,
  cursors: new Map()
})
