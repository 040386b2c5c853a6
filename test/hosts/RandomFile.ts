/** Files of hosts as anybody might have written them, from a tape of choices: the entries apart from all that is around them. */
import { Arbitrary } from "effect"
import type { Host } from "../../src/hosts/Host.ts"
import { Choices, many } from "../lines/Choices.ts"

export interface RandomFile {
  /** What is around the entries: one more than there are entries. */
  readonly around: ReadonlyArray<string>
  /** The text of each entry. */
  readonly entries: ReadonlyArray<string>
  readonly names: Array<string>
}

export const textOf = ({ around, entries }: RandomFile): string =>
  around.map((text, i) => text + (entries[i] ?? "")).join("")

/** What `make` makes of a tape that is long enough for all of it: a file takes hundreds of choices. */
export const from = <A>(make: (choices: Choices) => A): Arbitrary.Arbitrary<A> =>
  many({ minimum: 20, maximum: 20 }, (choices) => Array.from({ length: 40 }, () => choices.below(0x40000000))).pipe(
    Arbitrary.map((tapes) => make(new Choices(tapes.flat())))
  )

/** A file of the host's with up to four servers of its own. */
export const make = (host: Host, choices: Choices): RandomFile =>
  host.format === "json" ? json(host, choices) : toml(host, choices)

const words = ["npx", "-y", "server", "a b", 'say "hi"', "it's", "# no comment", "// neither", "{", "ü", "\\", "é\t"]
const names = ["git", "a.b", "with space", 'qu"ote', "it's", "ünï", "connect", "args", "__proto__", "constructor", "-x"]

const distinct = (choices: Choices): Array<string> => choices.shuffle(names).slice(0, choices.below(5))

const json = (host: Host, choices: Choices): RandomFile => {
  const eol = choices.of(["\n", "\r\n"])
  const unit = choices.of(["  ", "\t", "    "])
  const isDense = choices.chance(20)
  const space = () => (isDense ? "" : choices.of([" ", "", "  ", ` /* ${choices.of(words)} */ `]))
  const line = (depth: number) =>
    isDense ? "" : choices.of([`${eol}${unit.repeat(depth)}`, " ", `${eol}${eol}${unit.repeat(depth)}`, ` // x${eol}`])
  const object = (members: ReadonlyArray<string>, depth: number): string => {
    const comma = !isDense && members.length > 0 && choices.chance(20) ? `${space()},` : ""
    const inner = members.map(
      (member, i) => `${line(depth + 1)}${member}${i < members.length - 1 ? `${space()},` : ""}`
    )
    return `{${inner.join("")}${comma}${line(depth)}}`
  }
  const member = (key: string, value: string) => `${JSON.stringify(key)}${space()}:${space()}${value}`
  const list = (items: ReadonlyArray<string>) =>
    `[${items.map((item) => space() + JSON.stringify(item)).join(",")}${space()}]`
  const args = choices.some(3, (choices) => choices.of(words))
  const entry = (): string => {
    const environment = object(
      choices.some(2, (choices) => member(choices.of(["A", "B_C"]), JSON.stringify(choices.of(words)))),
      3
    )
    const command =
      host.id === "opencode"
        ? [member("command", list(["cmd", ...args]))]
        : [member("command", '"cmd"'), ...(choices.chance(80) ? [member("args", list(args))] : [])]
    const others = [
      ...(choices.chance(60) ? [member(host.id === "opencode" ? "environment" : "env", environment)] : []),
      ...(choices.chance(20) && host.id !== "zed" ? [member("cwd", '"/tmp"')] : []),
      ...(choices.chance(40) ? [member("timeout", "5000")] : []),
      ...(choices.chance(20) ? [member("alwaysAllow", '["x", {"command": "y"}]')] : [])
    ]
    return object(choices.shuffle([...command, ...others]), 2)
  }
  const own = distinct(choices)
  const entries = own.map(entry)
  // What no text has takes the place of the entries until all is put together.
  const marks = own.map((name, i) => member(name, `\0${i}\0`))
  const section = member(host.key, object(marks, 1))
  const top = choices.shuffle([
    section,
    ...choices
      .shuffle(['"theme": "dark"', '"other": { "command": "x", "nested": [1, { "a": null }] }', '"n": 1e3'])
      .slice(0, choices.below(4))
  ])
  const whole = `${choices.of(["", "\uFEFF"])}${isDense ? "" : choices.of(["", `// head${eol}`])}${object(top, 0)}${choices.of(["", eol])}`
  return { around: whole.split(/\0\d+\0/), entries, names: own }
}

const toml = (host: Host, choices: Choices): RandomFile => {
  const eol = choices.of(["\n", "\r\n"])
  const own = distinct(choices)
  const key = (name: string) =>
    /^[\w-]+$/.test(name) && /^[\x20-\x7e]+$/.test(name) && choices.chance(70)
      ? name
      : name.includes("'") || name.includes("\t") || choices.chance(50)
        ? JSON.stringify(name)
        : `'${name}'`
  const text = (value: string) =>
    value.includes("'") || value.includes("\t") || choices.chance(50) ? JSON.stringify(value) : `'${value}'`
  const comment = () => choices.of(["", " # x", "   # [mcp_servers.y] = 'z'"])
  const gap = () => choices.of(["", eol, `# about${eol}`, `${eol}  # more "${eol}`])
  const list = (items: ReadonlyArray<string>) =>
    choices.chance(30)
      ? `[${eol}${items.map((item) => `  ${text(item)},${comment()}${eol}`).join("")}]`
      : `[${items.map(text).join(", ")}]`
  const around: Array<string> = [`model = "x"${comment()}${eol}long = """${eol}[mcp_servers.no]${eol}"""${eol}${gap()}`]
  const between = [
    `[tui]${eol}a = 1${eol}`,
    `[[profiles]]${eol}name = 'x'${eol}[profiles.env]${eol}A = "b"${eol}`,
    `[other.mcp_servers.git]${eol}command = "no"${eol}`
  ]
  const entries = own.map((name, i) => {
    const path = `${host.key}.${key(name)}`
    const line = (text: string) => `${text}${comment()}${eol}`
    const pairs = choices.shuffle([
      line('command = "cmd"'),
      ...(choices.chance(80) ? [line(`args = ${list(choices.some(3, (choices) => choices.of(words)))}`)] : []),
      ...(choices.chance(30) ? [line("startup_timeout_sec = 20.5")] : []),
      ...(choices.chance(30) ? [line('env_vars = ["A"]')] : []),
      ...(choices.chance(30) ? [line("cwd = '/tmp'")] : [])
    ])
    const kind = choices.below(3)
    const env = kind === 1 ? [line(`env.${key("A")} = ${text(choices.of(words))}`)] : []
    const table = kind === 2 ? `${gap()}[ ${path}.env ]${comment()}${eol}A = ${text(choices.of(words))}${eol}` : ""
    const tools = choices.chance(20) ? `[${path}.tools.x]${eol}approval_mode = "approve"${eol}` : ""
    around.push(
      `${choices.of(["", ...between.map((block) => block.replaceAll("[tui]", `[tui${i}]`).replaceAll("other.", `other${i}.`))])}${gap()}`
    )
    return `[${path}]${comment()}${eol}${[...pairs, ...env].join("")}${table}${tools}`
  })
  return { around, entries, names: own }
}
