/** What the doctor says of one thing: fine, or what is wrong with it and what mends it. Pure. */

/** In the order in which they are made and shown. */
export const checks = [
  "node",
  "configuration",
  "commands",
  "files",
  "daemon",
  "service",
  "sockets",
  "http",
  "leftovers",
  "starts",
  "connect"
] as const
export type Check = (typeof checks)[number]

export interface Finding {
  readonly check: Check
  /** What was looked at: a server's name, a path. */
  readonly subject: string
  /** A warning is worth knowing, and stops nothing. */
  readonly ok: "ok" | "warning" | "problem"
  /** One line; what a process wrote last follows, a line each. Never a value of an environment. */
  readonly message: string
  /** A command or an edit; null where all is well, or nothing has to be done. */
  readonly mend: string | null
}

/** The three things that a check can say. */
export const of = (check: Check) => ({
  ok: (subject: string, message: string): Finding => ({ check, subject, ok: "ok", message, mend: null }),
  warning: (subject: string, message: string, mend: string | null): Finding => ({
    check,
    subject,
    ok: "warning",
    message,
    mend
  }),
  problem: (subject: string, message: string, mend: string): Finding => ({
    check,
    subject,
    ok: "problem",
    message,
    mend
  })
})
