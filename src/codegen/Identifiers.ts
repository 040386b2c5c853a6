/** Names that others gave, made into names of TypeScript. Pure. */

/**
 * A name in camel case, of letters and digits, with `_` before a leading digit: `get-sum` is `getSum`, `LIST_FILES` is
 * `listFiles`. What is left of nothing is `instead`. May be a reserved word, as the name of a property may.
 */
export const camelCase = (name: string, instead: string): string => {
  const words = name.normalize("NFC").replace(notInNames, " ").split(/[ _]+/).filter(Boolean).map(uniform)
  const joined = words.map((word, i) => (i === 0 ? withFirst(word, "lower") : withFirst(word, "upper"))).join("")
  if (joined === "") return instead
  return /^\p{ID_Start}/u.test(joined) ? joined : `_${joined}`
}

/** The wanted name, or where that is taken the name with the least number from 2 on; takes it. */
export const take = (wanted: string, taken: Set<string>): string => {
  let name = wanted
  for (let i = 2; taken.has(name); i++) name = `${wanted}${i}`
  taken.add(name)
  return name
}

/** What no constant of a module may be called, in a module of either kind. */
export const reserved: ReadonlySet<string> = new Set(
  `arguments await break case catch class const continue debugger default delete do else enum eval export exports
  extends false finally for function globalThis if implements import in instanceof interface let new null package
  private protected public require return static super switch this throw true try typeof undefined var void while with
  yield`.split(/\s+/)
)

/** Words all in capitals are as good as small. */
const uniform = (word: string): string => (word === word.toUpperCase() ? word.toLowerCase() : word)

const withFirst = (word: string, to: "lower" | "upper"): string => {
  const [first = "", ...rest] = word
  return (to === "lower" ? first.toLowerCase() : first.toUpperCase()) + rest.join("")
}

/** Which letters there are beyond the first 65,536 depends on who reads; what joins letters cannot be seen. */
const notInNames = /[^\p{ID_Continue}]|[\p{Cf}\u{10000}-\u{10ffff}]/gu
