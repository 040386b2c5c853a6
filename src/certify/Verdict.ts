/** What follows from what was seen: a line for each thing that was looked at, and the policy with its reasons. Pure. */
import type { Asker } from "../server/AskerStore.ts"
import type { Leak } from "./Leaks.ts"
import type { Facts, Finding, Policy, Reason, Report } from "./Report.ts"

/** `shared` only where every tool was exercised and nothing was found; one leak is enough for the opposite. */
export const report = (facts: Facts): Report => {
  const unsafe = unsafeReasons(facts)
  const lacking = lackingReasons(facts)
  const asks = askingReasons(facts)
  const outside = outsideReasons(facts)
  const policy: Policy =
    unsafe.length > 0
      ? "per-session"
      : lacking.length > 0
        ? "not enough evidence"
        : asks.length > 0
          ? "lanes"
          : "shared"
  const reasons =
    policy === "per-session"
      ? [...unsafe, ...aloneReasons(facts)]
      : policy === "not enough evidence"
        ? lacking
        : [...asks, ...outside]
  return {
    ...facts,
    findings: findings(facts),
    policy,
    setting:
      policy === "shared" ? shared : policy === "lanes" ? { ...shared, questions: "auto" } : { sharing: "per-session" },
    reasons: reasons.length > 0 ? reasons : [{ kind: "nothing found", message: nothing(facts) }],
    askers: askers(facts)
  }
}

const shared = { sharing: "shared" } as const

/**
 * What asked while it was in flight alone; where it was with others, and none of them is known to ask, any of those. Of a
 * server that also asks while nothing is in flight, nothing is certain.
 */
export const askers = ({ questions }: Pick<Facts, "questions">): ReadonlyArray<Asker> => {
  const calls = questions.filter(({ method }) => asked.has(method)).map(({ during }) => during)
  const known = new Map<string, Asker>()
  for (const during of [...calls].sort((a, b) => a.length - b.length)) {
    if (during.some(({ method, name }) => known.get(`${method} ${name}`)?.isCertain === true)) continue
    for (const { method, name } of during) {
      const isCertain = during.length === 1 && !calls.some((others) => others.length === 0)
      if (name !== null) known.set(`${method} ${name}`, { method, name, isCertain })
    }
  }
  return [...known.values()]
}

/** What was known before, and what was found now: what is certain stays so. */
export const allAskers = (known: ReadonlyArray<Asker>, found: ReadonlyArray<Asker>): ReadonlyArray<Asker> => {
  const isOf = (a: Asker) => (b: Asker) => a.method === b.method && a.name === b.name
  const kept = known.filter((one) => one.isCertain || !found.some(isOf(one)))
  return [...kept, ...found.filter((one) => !kept.some(isOf(one)))]
}

/** Questions that sharing must bring to one client; `roots/list` the pool answers itself. */
const asked: ReadonlySet<string> = new Set(["sampling/createMessage", "elicitation/create"])

const unsafeReasons = (facts: Facts): ReadonlyArray<Reason> => {
  const { cancelling, found, strange, strangeProgress } = facts
  const unasked = unaskedOf(facts)
  return [
    ...(found?.leaks ?? []).map((leak): Reason => ({ kind: "leak", message: leakLine(leak) })),
    ...(found?.history ?? []).map((leak): Reason => ({ kind: "history", message: historyLine(leak) })),
    ...(strange.length > 0 || strangeProgress.length > 0
      ? [{ kind: "ids", message: "what it answers cannot be told apart by ids and tokens" } as const]
      : []),
    ...((cancelling?.lost.length ?? 0) > 0
      ? [{ kind: "cancellation", message: "to cancel one client's call ends the other's" } as const]
      : []),
    ...(unasked.length > 0
      ? [{ kind: "unasked", message: `it asks ${counts(unasked)} while no call is in flight` } as const]
      : [])
  ]
}

const aloneReasons = ({ alone }: Facts): ReadonlyArray<Reason> =>
  alone === null ? [] : [{ kind: "alone", message: `but a second process did not run beside the first: ${alone}` }]

const lackingReasons = ({ cutShort, found, trials }: Facts): ReadonlyArray<Reason> => {
  const isPerformed = found !== null || cutShort.length > 0
  const tools = trials.filter(({ kind }) => kind === "tool")
  const missing = tools.filter(({ outcome }) => outcome !== "exercised")
  const some = trials.some(({ outcome }) => outcome === "exercised")
  return [
    ...cutShort.map((message): Reason => ({ kind: "cut short", message })),
    ...(isPerformed ? [] : [{ kind: "cut short", message: "no performance came to its end" } as const]),
    ...(found?.once ?? []).map((leak): Reason => ({
      kind: "unrepeated",
      message: `once only, so it may be chance: ${leakLine(leak)}`
    })),
    ...(missing.length > 0
      ? [
          {
            kind: "unexercised",
            message: `${missing.length} of ${counted(tools.length, "tool")} not exercised: what they keep is not known`
          } as const
        ]
      : []),
    ...(some ? [] : [{ kind: "unexercised", message: "nothing of it could be exercised" } as const])
  ]
}

const askingReasons = (facts: Facts): ReadonlyArray<Reason> =>
  askers(facts).map(({ isCertain, name }) => ({
    kind: "asks",
    message: `${quoted(name)} ${isCertain ? "asks" : "may ask"} its client, and so needs a lane`
  }))

const outsideReasons = ({ found }: Facts): ReadonlyArray<Reason> => {
  const [leak] = found?.outside ?? []
  if (leak === undefined) return []
  const message = `what ${quoted(leak.name ?? leak.method)} tells is kept outside of the process: a process each would not keep it apart`
  return [{ kind: "outside", message }]
}

const nothing = ({ requests, trials }: Facts): string => {
  const tools = trials.filter(({ kind }) => kind === "tool").length
  return `each of ${counted(tools, "tool")} was exercised, and in ${counted(requests, "request")} nothing of one client reached the other`
}

// --- what was looked at ---

const findings = (facts: Facts): ReadonlyArray<Finding> => [
  start(facts),
  tools(facts),
  ids(facts),
  cancellation(facts),
  progress(facts),
  stray(facts),
  ...questions(facts),
  roots(facts),
  ...state(facts)
]

const start = ({ alone, memory, starts }: Facts): Finding => {
  if (alone !== null) {
    return { check: "start", ok: "problem", message: `a second process does not run beside the first: ${alone}` }
  }
  const [fastest, slowest] = [Math.min(...starts), Math.max(...starts)]
  const took = seconds(fastest) === seconds(slowest) ? seconds(fastest) : `${seconds(fastest)} to ${seconds(slowest)}`
  return {
    check: "start",
    ok: "ok",
    message: `ready in ${took} s${memory === null ? "" : `, ${megabytes(memory)} MB`}`
  }
}

const tools = ({ trials }: Facts): Finding => {
  const of = (kind: string) => trials.filter((trial) => trial.kind === kind)
  const done = (kind: string) => of(kind).filter(({ outcome }) => outcome === "exercised").length
  const others = ["prompt", "resource"].flatMap((kind) =>
    of(kind).length === 0 ? [] : [`${done(kind)} of ${counted(of(kind).length, kind)}`]
  )
  const message = [`${done("tool")} of ${counted(of("tool").length, "tool")}`, ...others].join(", ")
  const ok = done("tool") === of("tool").length ? "ok" : "warning"
  return { check: "tools", ok, message: `${message} exercised` }
}

const ids = ({ requests, strange }: Facts): Finding => {
  const [first] = strange
  return first === undefined
    ? { check: "ids", ok: "ok", message: `${counted(requests, "request")}, no answer without its request` }
    : { check: "ids", ok: "problem", message: `${counted(strange.length, "answer")} to nothing, such as ${first}` }
}

const cancellation = ({ cancelling }: Facts): Finding => {
  if (cancelling === null || cancelling.calls === 0) {
    return { check: "cancellation", ok: "unseen", message: "no call could be cancelled" }
  }
  const { answered, calls, lost } = cancelling
  if (lost.length > 0) {
    const message = `with one client's call of ${lost.map(quoted).join(", ")} the other's ended`
    return { check: "cancellation", ok: "problem", message }
  }
  const message = `${counted(calls, "call")} cancelled, the other client's went on`
  if (answered === calls) {
    return { check: "cancellation", ok: "unseen", message: `${message}; all were answered all the same` }
  }
  return { check: "cancellation", ok: "ok", message: answered === 0 ? message : `${message}; ${answered} were late` }
}

const progress = ({ lateProgress, progress, strangeProgress }: Facts): Finding => {
  const [first] = strangeProgress
  if (first !== undefined) {
    return { check: "progress", ok: "problem", message: `under tokens that nobody gave, such as ${first}` }
  }
  if (lateProgress > 0) {
    return {
      check: "progress",
      ok: "warning",
      message: `${lateProgress} of ${progress} after the answer: they are lost`
    }
  }
  return progress === 0
    ? { check: "progress", ok: "unseen", message: "nothing told any" }
    : { check: "progress", ok: "ok", message: `${progress} times, each to a call in flight` }
}

const stray = ({ strays }: Facts): Finding => {
  const [first] = strays
  return first === undefined
    ? { check: "stray output", ok: "ok", message: "all that it prints on stdout is MCP" }
    : { check: "stray output", ok: "warning", message: `${counted(strays.length, "line")} that are not MCP: ${first}` }
}

const questions = (facts: Facts): ReadonlyArray<Finding> => {
  const inside = facts.questions.filter(({ during, method }) => asked.has(method) && during.length > 0)
  const names = askers(facts).map(({ name }) => quoted(name))
  const unasked = unaskedOf(facts)
  return [
    inside.length === 0
      ? { check: "questions", ok: "ok", message: "no call asked its client anything" }
      : { check: "questions", ok: "warning", message: `${counts(inside)} from ${names.join(", ")}` },
    unasked.length === 0
      ? { check: "unasked questions", ok: "ok", message: "nobody was asked outside of a call" }
      : { check: "unasked questions", ok: "problem", message: `${counts(unasked)} while no call was in flight` }
  ]
}

const unaskedOf = ({ questions }: Facts) =>
  questions.filter(({ during, method }) => asked.has(method) && during.length === 0)

const roots = ({ questions, underRoots }: Facts): Finding => {
  const [leak] = underRoots ?? []
  if (leak !== undefined) {
    const message = `clients' own roots would change what it answers (${placeLine(leak)}): a shared process is told pool.roots, or none`
    return { check: "roots", ok: "warning", message }
  }
  if (questions.some(({ method }) => method === "roots/list")) {
    return { check: "roots", ok: "ok", message: "it asks for roots, and answers the same without" }
  }
  return underRoots === null
    ? { check: "roots", ok: "unseen", message: "not tried" }
    : { check: "roots", ok: "ok", message: "it asks for none" }
}

const state = ({ found }: Facts): ReadonlyArray<Finding> => {
  if (found === null) return [{ check: "state", ok: "unseen", message: "no performance came to its end" }]
  const { history, leaks, once, outside } = found
  const all: ReadonlyArray<Finding> = [
    ...leaks.map((leak): Finding => ({ check: "state", ok: "problem", message: leakLine(leak) })),
    ...history.map((leak): Finding => ({ check: "state", ok: "problem", message: historyLine(leak) })),
    ...once.map((leak): Finding => ({ check: "state", ok: "warning", message: `once only: ${leakLine(leak)}` })),
    ...outside.map((leak): Finding => ({
      check: "state",
      ok: "warning",
      message: `also between processes of their own: ${placeLine(leak)}`
    }))
  ]
  if (all.length > 0) return all
  return [{ check: "state", ok: "ok", message: "what one client is told does not depend on the other" }]
}

const leakLine = (leak: Leak): string => {
  const where = `${nameOf(leak)} ${leak.path}`
  if (leak.kind === "word") return `${where}: the other client's own word is in it: ${leak.after ?? ""}`
  return `${where}: ${leak.before ?? "nothing"} alone, ${leak.after ?? "nothing"} beside another client`
}

const historyLine = (leak: Leak): string =>
  `${nameOf(leak)} ${leak.path}: ${leak.before ?? "nothing"} the first time, ${leak.after ?? "nothing"} the second`

const placeLine = (leak: Leak): string => {
  const values = leak.kind === "word" ? leak.after : `${leak.before ?? "nothing"}, then ${leak.after ?? "nothing"}`
  return `${nameOf(leak)} ${leak.path}: ${values}`
}

const nameOf = ({ method, name }: Leak): string => (name === null ? method : quoted(name))

const quoted = (name: string): string => JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name)

/** `2 of elicitation/create (form), 1 of sampling/createMessage`. */
const counts = (questions: Facts["questions"]): string => {
  const byKind = new Map<string, number>()
  for (const { method, mode, times } of questions) {
    const kind = mode === null ? method : `${method} (${mode})`
    byKind.set(kind, (byKind.get(kind) ?? 0) + times)
  }
  return [...byKind].map(([kind, times]) => `${times} of ${kind}`).join(", ")
}

const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`
const seconds = (millis: number): string => (millis / 1000).toFixed(2)
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0)
