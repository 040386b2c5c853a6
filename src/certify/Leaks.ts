/** What one client is told only because of the other, from what it was told in several performances. Pure. */
import * as Comparison from "./Comparison.ts"
import type { Told } from "./Play.ts"

/** What A was told: alone; beside B, each on a process of its own; and beside B on one process. Each at least once. */
export interface Performances {
  readonly alone: ReadonlyArray<ReadonlyArray<Told>>
  readonly apart: ReadonlyArray<ReadonlyArray<Told>>
  readonly together: ReadonlyArray<ReadonlyArray<Told>>
}

/** One place in one answer. */
export interface Leak extends Comparison.Difference {
  /** `word`: the other client's own word stands there. `difference`: it is otherwise, each time. */
  readonly kind: "word" | "difference"
  readonly method: string
  /** The tool's or prompt's name, the resource's URI; null for lists. */
  readonly name: string | null
  readonly when: Told["when"]
}

export interface Found {
  /** On one process alone, each time. */
  readonly leaks: ReadonlyArray<Leak>
  /** On one process alone, but not each time, or there was only one time. */
  readonly once: ReadonlyArray<Leak>
  /** The other's word also where each has a process: it is kept outside of the process, in a file or an account. */
  readonly outside: ReadonlyArray<Leak>
  /** The same call of the same client, answered otherwise the second time: the process remembers. */
  readonly history: ReadonlyArray<Leak>
}

export const find = ({ alone, apart, together }: Performances, otherWord: string): Found => {
  const leaks: Array<Leak> = []
  const once: Array<Leak> = []
  const outside: Array<Leak> = []
  const history: Array<Leak> = []
  const length = Math.min(...[...alone, ...apart, ...together].map((told) => told.length))
  const undisturbed = [...alone, ...apart]
  for (let index = 0; index < length; index++) {
    const at = (performances: ReadonlyArray<ReadonlyArray<Told>>) =>
      performances.map((told) => told[index]!.trace ?? silence)
    const { step, when } = together[0]![index]!
    const leak = (kind: Leak["kind"], difference: Comparison.Difference): Leak => ({
      kind,
      method: step.method,
      name: step.name,
      when,
      ...difference
    })
    const said = (traces: ReadonlyArray<unknown>) => {
      const places = traces.flatMap((trace) => Comparison.placeOf(trace, otherWord) ?? [])
      const [place] = places
      return place === undefined ? [] : [leak("word", { path: place.path, before: null, after: place.text })]
    }
    const saidApart = said([...at(alone), ...at(apart)])
    const saidTogether = said(at(together))
    outside.push(...saidApart)
    const words = saidApart.length === 0 ? saidTogether : []
    const always = Comparison.differences(at(undisturbed), at(together)).map((found) => leak("difference", found))
    leaks.push(...words)
    const isRepeated = alone.length > 1 && together.length > 1
    const others = always.filter(({ path }) => !words.some((word) => word.path === path))
    if (isRepeated) leaks.push(...others)
    else once.push(...others)
    if (words.length === 0 && always.length === 0) {
      const sometimes = at(together).flatMap((trace) => Comparison.differences(at(undisturbed), [trace]))
      once.push(...sometimes.map((found) => leak("difference", found)))
    }
    if (when !== "second") continue
    const first = undisturbed.map((told) => told.find((one) => one.when === "first" && one.step === step)?.trace)
    history.push(...Comparison.differences(first, at(undisturbed)).map((found) => leak("difference", found)))
  }
  // At once, what is kept outside is now earlier and now later there; one after another it would be the same each time.
  const told = distinct(outside.length > 0 ? leaks.filter(({ when }) => when !== "at once") : leaks)
  return {
    leaks: told,
    // What is kept outside differs from performance to performance, whoever shares a process.
    once: outside.length > 0 ? [] : distinct(once),
    outside: distinct(outside),
    history: distinct(history).filter((one) => !told.some((leak) => isSamePlace(leak, one)))
  }
}

/** Nothing came in time. */
const silence = { silence: "no answer" }

/** Each place once, however often it was seen. */
const distinct = (leaks: ReadonlyArray<Leak>): ReadonlyArray<Leak> =>
  leaks.filter((leak, index) => leaks.findIndex((other) => isSamePlace(leak, other)) === index)

const isSamePlace = (a: Leak, b: Leak): boolean => a.method === b.method && a.name === b.name && a.path === b.path
