import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { canonical, elements, Envelope, Key, Shape } from "../../src/message/Envelope.ts"
import * as Choices from "../lines/Choices.ts"
import * as JsonText from "../mux/JsonText.ts"

type Json = { [key: string]: unknown }

/** A line where it stands in a chunk. */
interface Placed {
  readonly bytes: Buffer
  readonly from: number
  readonly to: number
}

const place = (line: Buffer, before: string, after: string): Placed => {
  const start = Buffer.from(before)
  return { bytes: Buffer.concat([start, line, Buffer.from(after)]), from: start.length, to: start.length + line.length }
}

/** A line alone, or with neighbours that a reader past its end would stumble over. */
const placed = (choices: Choices.Choices, line: Buffer): Placed =>
  place(
    line,
    choices.of(["", '{"id":1,"a":[', '"', ',"id":', "é\n"]),
    choices.of(["", "\n", "}", '"', "]}", "0", ',"id":5}', "ue", 'rue,"id":5}'])
  )

const lineOf = (make: (choices: Choices.Choices) => string) =>
  Choices.from((choices) => placed(choices, Buffer.from(make(choices))))

const textOf = (placed: Placed): string => placed.bytes.toString("utf8", placed.from, placed.to)

/** What `JSON.parse` says of a line. */
const shapeOf = (text: string): Shape => {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value)
      ? Shape.batch
      : typeof value === "object" && value !== null
        ? Shape.message
        : Shape.invalid
  } catch {
    return Shape.invalid
  }
}

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** The objects that hold the keys that matter, and what those keys are called there. */
const holders = (message: Json): ReadonlyArray<readonly [holder: Json, name: string, key: Key]> => {
  const params = isObject(message["params"]) ? message["params"] : {}
  const meta = isObject(params["_meta"]) ? params["_meta"] : {}
  const all = [
    [message, "id", Key.id],
    [message, "method", Key.method],
    [message, "jsonrpc", Key.jsonrpc],
    [message, "params", Key.params],
    [message, "result", Key.outcome],
    [message, "error", Key.outcome],
    [params, "name", Key.name],
    [params, "_meta", Key.meta],
    [params, "progressToken", Key.progressToken],
    [params, "requestId", Key.requestId],
    [params, "uri", Key.uri],
    [params, "level", Key.level],
    [meta, "progressToken", Key.token]
  ] as const
  return all.filter(([holder, name]) => Object.hasOwn(holder, name))
}

/** Equal as JSON: deep values overflow the stack of a comparison by members. */
const same = (actual: unknown, expected: unknown): void =>
  assert.strictEqual(JSON.stringify(actual), JSON.stringify(expected))

/** The message as its receiver understands it, scanned: in canonical form where it is irregular. */
const understood = (line: Placed): { readonly envelope: Envelope; readonly line: Placed } => {
  const envelope = new Envelope()
  assert.strictEqual(envelope.scan(line.bytes, line.from, line.to), Shape.message)
  if (!envelope.irregular) return { envelope, line }
  const regular = place(canonical(line.bytes.subarray(line.from, line.to))!, "", "")
  assert.strictEqual(envelope.scan(regular.bytes, regular.from, regular.to), Shape.message)
  return { envelope, line: regular }
}

const spanOf = (envelope: Envelope, line: Placed, key: Key): string =>
  line.bytes.toString("utf8", envelope.start[key], envelope.end[key])

/** The line with other values at the spans of these keys. */
const splice = (envelope: Envelope, line: Placed, values: ReadonlyMap<Key, string>): string => {
  let out = ""
  let at = line.from
  for (const [key, value] of [...values].sort(([a], [b]) => envelope.start[a]! - envelope.start[b]!)) {
    out += `${line.bytes.toString("utf8", at, envelope.start[key])}${value}`
    at = envelope.end[key]!
  }
  return `${out}${line.bytes.toString("utf8", at, line.to)}`
}

const messages = lineOf(JsonText.message)

describe("Envelope", () => {
  describe("scan", () => {
    it.effect.prop(
      "accepts any text of an object or an array",
      { line: lineOf(JsonText.line) },
      ({ line }) =>
        Effect.sync(() =>
          assert.strictEqual(new Envelope().scan(line.bytes, line.from, line.to), shapeOf(textOf(line)))
        ),
      { arbitrary: { runs: 2000, size: 250 } }
    )

    it.effect.prop(
      "accepts of mutated lines exactly what JSON.parse accepts",
      { line: Choices.from((choices) => placed(choices, mutated(choices, Buffer.from(JsonText.line(choices))))) },
      ({ line }) =>
        Effect.sync(() =>
          assert.strictEqual(new Envelope().scan(line.bytes, line.from, line.to), shapeOf(textOf(line)))
        ),
      { arbitrary: { runs: 6000, size: 120 } }
    )

    it("refuses what is nearly JSON", () => {
      for (const text of nearlyJson) {
        const line = place(Buffer.from(text), "", '"}]')
        assert.strictEqual(new Envelope().scan(line.bytes, line.from, line.to), Shape.invalid, text)
        assert.strictEqual(shapeOf(text), Shape.invalid, text)
      }
    })

    it("refuses control characters in strings, and takes all others", () => {
      for (let code = 0; code < 0x100; code++) {
        const text = `{"a":"${String.fromCharCode(code)}"}`
        const line = place(Buffer.from(text), "", "")
        assert.strictEqual(new Envelope().scan(line.bytes, line.from, line.to), shapeOf(text), `character ${code}`)
      }
    })

    it.effect.prop(
      "finds each key that matters where JSON.parse sees it, and no other",
      { line: messages },
      ({ line }) =>
        Effect.sync(() => {
          const { envelope, line: regular } = understood(line)
          const there = holders(JSON.parse(textOf(regular)) as Json)
          for (const key of Object.values(Key)) {
            // Of results, whatever is written there: see `Verdict`.
            if (key === Key.isError) continue
            const values = there.filter(([, , other]) => other === key).map(([holder, name]) => holder[name])
            assert.strictEqual(envelope.has(key), values.length > 0, `key ${key}`)
            if (!envelope.has(key)) continue
            const raw = spanOf(envelope, regular, key)
            assert.strictEqual(raw, raw.trim())
            if (values.length === 1) same(JSON.parse(raw), values[0])
            else
              assert.include(
                values.map((value) => JSON.stringify(value)),
                JSON.stringify(JSON.parse(raw))
              )
          }
        }),
      { arbitrary: { runs: 3000, size: 250 } }
    )

    it.effect.prop(
      "finds the raw text of an id as its client wrote it",
      { line: Choices.from(idLine) },
      ({ line: { id, ...line } }) =>
        Effect.sync(() => {
          const envelope = new Envelope()
          assert.strictEqual(envelope.scan(line.bytes, line.from, line.to), Shape.message)
          assert.isFalse(envelope.irregular)
          assert.strictEqual(spanOf(envelope, line, Key.id), id)
        }),
      { arbitrary: { runs: 1000, size: 120 } }
    )

    it("takes a line for irregular only where a key that matters may be in disguise or there twice", () => {
      const irregular = (text: string) => {
        const envelope = new Envelope()
        assert.strictEqual(envelope.scan(Buffer.from(text), 0, text.length), Shape.message)
        return envelope.irregular
      }
      assert.isFalse(
        irregular('{"id":"a\\u0062","method":"i\\u0064","params":{"arguments":{"i\\u0064":1,"i\\u0064":2}}}')
      )
      assert.isFalse(
        irregular('{"a":1,"a":2,"params":{"b":1,"b":2,"id":1,"_meta":{"id":1,"id":2}},"result":{"id":1,"id":2}}')
      )
      assert.isTrue(irregular('{"i\\u0064":1}'))
      assert.isTrue(irregular('{"id":1,"id":1}'))
      assert.isTrue(irregular('{"params":{},"params":{}}'))
      assert.isTrue(irregular('{"params":{"\\u006eame":1}}'))
      assert.isTrue(irregular('{"params":{"_meta":{"progressToken":1,"progressToken":2}}}'))
    })

    it("keeps nothing of the line before", () => {
      const envelope = new Envelope()
      const full = Buffer.from('{"id":1,"id":2,"method":"m","params":{"name":"n","_meta":{"progressToken":1}}}')
      assert.strictEqual(envelope.scan(full, 0, full.length), Shape.message)
      assert.strictEqual(envelope.scan(Buffer.from("{}"), 0, 2), Shape.message)
      assert.isFalse(envelope.irregular)
      for (const key of Object.values(Key)) assert.isFalse(envelope.has(key))
    })
  })

  describe("splicing by spans", () => {
    it.effect.prop(
      "equals parsing, changing and serialising",
      {
        line: messages,
        values: Choices.from((choices) => Object.values(Key).map(() => JsonText.value(choices, 1).trim()))
      },
      ({ line, values }) =>
        Effect.sync(() => {
          const { envelope, line: regular } = understood(line)
          const text = textOf(regular)
          for (const keys of spliced) {
            const changed = JSON.parse(text) as Json
            const there = holders(changed).filter(([, , key]) => (keys as ReadonlyArray<Key>).includes(key))
            if (there.length === 0) continue
            // Where one of the keys holds the other, only the outer one is left.
            for (const [holder, name, key] of there) holder[name] = JSON.parse(values[key]!)
            const pieces = new Map(there.map(([, , key]) => [key, values[key]!]))
            same(JSON.parse(splice(envelope, regular, pieces)), changed)
          }
        }),
      { arbitrary: { runs: 2000, size: 250 } }
    )

    it("changes nothing else of the line", () => {
      const line = place(
        Buffer.from(' {"é":"\\/", "id" : "x" ,"params":{"_meta":{"progressToken":"t"}} , "n":1.0} '),
        "[",
        "]"
      )
      const { envelope } = understood(line)
      assert.strictEqual(
        splice(
          envelope,
          line,
          new Map([
            [Key.token, "7"],
            [Key.id, "8"]
          ])
        ),
        ' {"é":"\\/", "id" : 8 ,"params":{"_meta":{"progressToken":7}} , "n":1.0} '
      )
    })
  })

  describe("scanResponse", () => {
    it.effect.prop(
      "finds the id that JSON.parse and the whole scan find, or leaves it to the scan",
      { line: lineOf((choices) => (choices.chance(80) ? JsonText.response(choices) : JsonText.message(choices))) },
      ({ line }) =>
        Effect.sync(() => {
          const envelope = new Envelope()
          if (!envelope.scanResponse(line.bytes, line.from, line.to)) return
          const id = spanOf(envelope, line, Key.id)
          assert.match(id, /^\d+$/)
          same(JSON.parse(id), (JSON.parse(textOf(line)) as Json)["id"])
          const whole = understood(line)
          same(JSON.parse(spanOf(whole.envelope, whole.line, Key.id)), JSON.parse(id))
          // In a regular line it is the same place too.
          if (whole.line === line) assert.strictEqual(envelope.start[Key.id], whole.envelope.start[Key.id])
        }),
      { arbitrary: { runs: 6000, size: 60 } }
    )

    it("needs no scan for the shapes in which servers answer", () => {
      const result = `{"content":[{"type":"text","text":"${"x".repeat(10_000)}"}]}`
      for (const text of [
        `{"result":${result},"jsonrpc":"2.0","id":12}`,
        `{"jsonrpc":"2.0","id":12,"result":${result}}`,
        `{"id": 12, "result": ${result}}`,
        `{"jsonrpc": "2.0", "result": ${result}, "id": 12}\r`
      ]) {
        const line = place(Buffer.from(text), '{"id":5}\n', '\n{"jsonrpc":"2.0"')
        const envelope = new Envelope()
        assert.isTrue(envelope.scanResponse(line.bytes, line.from, line.to), text.slice(0, 40))
        assert.strictEqual(spanOf(envelope, line, Key.id), "12")
      }
    })
  })

  describe("canonical", () => {
    it("keeps the last of duplicate keys and takes escapes out of keys", () => {
      const line = Buffer.from('{"i\\u0064":1,"method":"a","method":"b\\u0062","params":{"a":[1.0,"é"]}}')
      assert.strictEqual(canonical(line)!.toString(), '{"id":1,"method":"bb","params":{"a":[1,"é"]}}')
    })

    it("of what is nested deeper than a stack of calls is none", () => {
      const depth = 50_000
      assert.isNull(canonical(Buffer.from(`{"i\\u0064":${"[".repeat(depth)}${"]".repeat(depth)}}`)))
    })
  })

  describe("elements", () => {
    it.effect.prop(
      "are the elements that JSON.parse sees",
      { line: lineOf(JsonText.batch) },
      ({ line }) =>
        Effect.sync(() => {
          const texts = elements(line.bytes, line.from, line.to)!.map(({ from, to }) =>
            line.bytes.toString("utf8", from, to)
          )
          for (const text of texts) assert.strictEqual(text, text.trim())
          same(
            texts.map((text) => JSON.parse(text) as unknown),
            JSON.parse(textOf(line))
          )
        }),
      { arbitrary: { runs: 1500, size: 250 } }
    )
  })
})

/** Which keys are spliced together: as the multiplexer does it, and each alone. */
const spliced = [
  [Key.id, Key.token],
  ...Object.values(Key)
    .filter((key) => key !== Key.outcome)
    .map((key) => [key])
] as const

/** A message with an id of any type at any place, and look-alikes around it. */
function idLine(choices: Choices.Choices): Placed & { readonly id: string } {
  const id = JsonText.value(choices, 2).trim()
  const rest = ['"jsonrpc":"2.0"', '"method":"m"', `"params":{"id":1,"arguments":${JsonText.value(choices)}}`]
  const gap = () => JsonText.space(choices)
  const parts = choices.shuffle([`${gap()}"id"${gap()}:${gap()}${id}${gap()}`, ...rest])
  return { ...placed(choices, Buffer.from(`{${parts.join(",")}}`)), id }
}

/** A line with one to three bytes changed, lost, doubled or put in, or without its end. */
function mutated(choices: Choices.Choices, line: Buffer): Buffer {
  let bytes = line
  for (let n = choices.below(3); n >= 0; n--) {
    const at = choices.below(bytes.length + 1)
    const before = bytes.subarray(0, at)
    const after = bytes.subarray(at)
    const byte = Buffer.from([choices.chance(70) ? choices.of(structural) : choices.below(256)])
    const length = choices.below(8)
    bytes = choices.of<() => Buffer>([
      () => Buffer.concat([before, byte, after.subarray(1)]),
      () => Buffer.concat([before, after.subarray(1)]),
      () => Buffer.concat([before, byte, after]),
      () => Buffer.concat([before, after.subarray(0, length), after]),
      () => Buffer.concat([before, after.subarray(length)]),
      () => before
    ])()
  }
  return bytes
}

const structural = [...Buffer.from('{}[],:"\\ \t\n\u0000\u001f\u007f0123456789-+.eEutrfnalsd/')]

const nearlyJson = [
  ...String.raw`{ [ ] } {}} []] {] [} {}, {}{} [1,] [,1] {"a"} {a:1} {"a":} {"a":1,} {,"a":1} 1 "a" null '{}'`.split(
    " "
  ),
  ...String.raw`{"a":"\x"} {"a":"\u12g4"} {"a":"\u123"} {"a":01} {"a":1.} {"a":.5} {"a":+1} {"a":-} {"a":1e}`.split(
    " "
  ),
  ...String.raw`{"a":1e+} {"a":tru} {"a":nulll} {"a":NaN} {"a":" {"a":"\ {"a":"\" {"a" {"a":1 [1 ["a" [{}`.split(" "),
  ...'| |[1 2]|{"a" 1}|{"a":1 "b":2}|{"a":"\t"}|{"a":"\n"}|\ufeff{}|\u00a0{}|{}\u2028'.split("|")
]
