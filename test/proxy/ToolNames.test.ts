import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ToolNames from "../../src/proxy/ToolNames.ts"
import * as Choices from "../lines/Choices.ts"

const thorough = { arbitrary: { runs: 1000, size: 150 } }

const shape = /^[a-zA-Z0-9_-]{1,64}$/

const pieces = [
  "a",
  "_",
  "__",
  "b",
  "-",
  "",
  "git",
  "status",
  ".",
  " ",
  "é",
  "漢",
  "\u{1f600}",
  "\ud83d",
  "\n",
  '"',
  "_0badcafe"
]

/** A name of a server or of a tool: mostly short, some empty, some far too long. */
const partOf = (choices: Choices.Choices): string => {
  const short = choices.some(4, (choices) => choices.of(pieces)).join("")
  return choices.chance(15) ? short + choices.of(["x", "_", "é"]).repeat(choices.below(200)) : short
}

const toolOf = (choices: Choices.Choices): ToolNames.Tool => ({ server: partOf(choices), tool: partOf(choices) })

/** Each way to cut a text at `__`: all of them have the same plain name. */
const cuts = (text: string): ReadonlyArray<ToolNames.Tool> =>
  Array.from({ length: text.length }, (_, at) => at)
    .filter((at) => text.startsWith("__", at))
    .map((at) => ({ server: text.slice(0, at), tool: text.slice(at + 2) }))

/** A tool, and those that are made to be taken for it. */
const lookalikes = (choices: Choices.Choices): ReadonlyArray<ToolNames.Tool> => {
  const one = toolOf(choices)
  return [
    one,
    ...cuts(plain(one)),
    ...cuts(ToolNames.hashed(one.server, one.tool)),
    { server: one.server.replace(/[^a-zA-Z0-9_-]/g, "_"), tool: one.tool.replace(/[^a-zA-Z0-9_-]/g, "_") },
    { server: one.server.toUpperCase(), tool: one.tool },
    { server: one.server, tool: one.tool.slice(0, 40) },
    { server: one.tool, tool: one.server },
    // Tools whose own name is the name of another.
    { server: partOf(choices), tool: ToolNames.exposed(one.server, one.tool) },
    { server: partOf(choices), tool: plain(one) },
    { server: partOf(choices), tool: one.tool }
  ]
}

const tools = Choices.from((choices) => distinct([...choices.some(4, lookalikes).flat(), ...choices.some(6, toolOf)]))

const plain = ({ server, tool }: ToolNames.Tool): string => `${server}__${tool}`

const exposed = ({ server, tool }: ToolNames.Tool): string => ToolNames.exposed(server, tool)

const hashed = ({ server, tool }: ToolNames.Tool): string => ToolNames.hashed(server, tool)

const distinct = (tools: ReadonlyArray<ToolNames.Tool>): ReadonlyArray<ToolNames.Tool> => [
  ...new Map(tools.map((tool) => [JSON.stringify([tool.server, tool.tool]), tool])).values()
]

/** What a name means, by looking at each tool. */
const meanings = (tools: ReadonlyArray<ToolNames.Tool>) => {
  const all = tools.map((tool) => ({ tool, shown: exposed(tool), others: [plain(tool), hashed(tool), tool.tool] }))
  return (name: string): ReadonlyArray<ToolNames.Tool> => {
    const shown = all.filter((one) => one.shown === name)
    return (shown.length > 0 ? shown : all.filter((one) => one.others.includes(name))).map(({ tool }) => tool)
  }
}

const found = ({ server, tool }: ToolNames.Tool): ToolNames.Resolution => ({ kind: "found", server, tool })

/** The tools of three servers, two of which have a tool in common. */
const some = [
  { server: "git", tool: "status" },
  { server: "git", tool: "create_branch" },
  { server: "svn", tool: "status" },
  { server: "my.files", tool: "read/file" },
  { server: "my__files", tool: "list" }
]

/** Two tools whose hashes begin with the same 32 bits. */
const collision = [43240, 78405].map((n) => ({ server: "git", tool: `${"x".repeat(60)}${n}` }))

describe("ToolNames", () => {
  describe("exposed", () => {
    it.effect.prop(
      "is a name that models take, and always the same",
      { tools },
      ({ tools }) =>
        Effect.sync(() => {
          for (const tool of tools) {
            assert.match(exposed(tool), shape)
            assert.match(hashed(tool), shape)
            assert.strictEqual(exposed({ ...tool }), exposed(tool))
          }
        }),
      thorough
    )

    it.effect.prop(
      "is different for different tools",
      { tools },
      ({ tools }) => Effect.sync(() => assert.strictEqual(new Set(tools.map(exposed)).size, tools.length)),
      thorough
    )

    it.effect.prop(
      "is the plain name or the one with a hash, and never one that is the other for another tool",
      { tools },
      ({ tools }) =>
        Effect.sync(() => {
          const hashes = new Set(tools.map(hashed))
          for (const tool of tools) {
            const name = exposed(tool)
            if (name === plain(tool)) assert.isFalse(hashes.has(name))
            else assert.strictEqual(name, hashed(tool))
          }
        }),
      thorough
    )

    it("is server and tool where they fit", () => {
      assert.strictEqual(ToolNames.exposed("git", "status"), "git__status")
      assert.strictEqual(ToolNames.exposed("My-server_2", "__x__y"), "My-server_2____x__y")
      assert.strictEqual(ToolNames.exposed("s".repeat(31), "t".repeat(31)), `${"s".repeat(31)}__${"t".repeat(31)}`)
    })

    it("has a hash where they do not, and stays readable", () => {
      assert.strictEqual(ToolNames.exposed("my.files", "read/file"), "my_files__read_file_354eab7b")
      assert.strictEqual(ToolNames.exposed("a__b", "c"), "a__b__c_528239e9")
      assert.strictEqual(ToolNames.exposed("a_", "b"), "a___b_0b9e6aab")
      assert.strictEqual(ToolNames.exposed("git", "report_20240101"), "git__report_20240101_2b2bc3b3")
      assert.strictEqual(
        ToolNames.exposed("s".repeat(31), "t".repeat(32)),
        `${"s".repeat(21)}__${"t".repeat(32)}_ff667937`
      )
      assert.strictEqual(ToolNames.exposed("s".repeat(90), "status"), `${"s".repeat(47)}__status_2379f155`)
      assert.strictEqual(
        ToolNames.exposed("s".repeat(90), "t".repeat(90)),
        `${"s".repeat(20)}__${"t".repeat(33)}_6da3e672`
      )
    })
  })

  describe("index", () => {
    it.effect.prop(
      "finds what a name means, or lists all that it may mean",
      { tools },
      ({ tools }) =>
        Effect.sync(() => {
          const resolve = ToolNames.index(tools)
          const meaning = meanings(tools)
          for (const one of tools) {
            assert.deepStrictEqual(resolve(exposed(one)), found(one))
            for (const name of [plain(one), hashed(one), one.tool]) {
              const all = meaning(name)
              const answer = resolve(name)
              if (all.length === 1) assert.deepStrictEqual(answer, found(all[0]!))
              else if (answer.kind !== "ambiguous") assert.fail(`${name} is one of ${all.length}`)
              else assert.sameMembers([...answer.candidates], all.map(exposed))
            }
          }
        }),
      thorough
    )

    it.effect.prop(
      "takes each form of a name, where no other tool has it",
      { tool: Choices.from(toolOf) },
      ({ tool }) =>
        Effect.sync(() => {
          const resolve = ToolNames.index([{ server: "other", tool: "another" }, tool])
          for (const name of [exposed(tool), plain(tool), hashed(tool), tool.tool]) {
            assert.deepStrictEqual(resolve(name), found(tool))
          }
        }),
      thorough
    )

    it.effect.prop(
      "says of an unknown name at most three others, each of which is found and another tool",
      { tools, name: Choices.from((choices) => partOf(choices) + choices.of(["", "z", "__status", "_00000000"])) },
      ({ tools, name }) =>
        Effect.sync(() => {
          const resolve = ToolNames.index(tools)
          const meaning = meanings(tools)
          const answer = resolve(name)
          assert.strictEqual(answer.kind === "unknown", meaning(name).length === 0)
          if (answer.kind !== "unknown") return
          const meant = answer.nearest.map(resolve)
          assert.isAtMost(meant.length, 3)
          for (const one of meant) assert.strictEqual(one.kind, "found")
          assert.strictEqual(new Set(meant.map((one) => JSON.stringify(one))).size, meant.length)
        }),
      thorough
    )

    it("takes a tool's own name only where one server has it", () => {
      const resolve = ToolNames.index(some)
      assert.deepStrictEqual(resolve("create_branch"), found({ server: "git", tool: "create_branch" }))
      assert.deepStrictEqual(resolve("read/file"), found({ server: "my.files", tool: "read/file" }))
      assert.deepStrictEqual(resolve("status"), { kind: "ambiguous", candidates: ["git__status", "svn__status"] })
    })

    it("takes a name as it is shown before a tool that calls itself so", () => {
      const resolve = ToolNames.index([{ server: "rogue", tool: "git__status" }, ...some])
      assert.deepStrictEqual(resolve("git__status"), found({ server: "git", tool: "status" }))
      assert.deepStrictEqual(resolve("rogue__git__status"), found({ server: "rogue", tool: "git__status" }))
    })

    it("does not choose between a plain name and a tool's own", () => {
      const resolve = ToolNames.index([{ server: "rogue", tool: "my__files__list" }, ...some])
      assert.deepStrictEqual(resolve("my__files__list"), {
        kind: "ambiguous",
        candidates: ["rogue__my__files__list", ToolNames.hashed("my__files", "list")]
      })
    })

    it("does not choose between tools that are shown under one name", () => {
      const [one, two] = collision.map(exposed)
      assert.strictEqual(one, two)
      const resolve = ToolNames.index(collision)
      assert.deepStrictEqual(resolve(one!), { kind: "ambiguous", candidates: [one!, two!] })
      for (const tool of collision) assert.deepStrictEqual(resolve(plain(tool)), found(tool))
    })

    it("takes a tool that is listed twice as one", () => {
      const resolve = ToolNames.index([...some, ...some])
      assert.deepStrictEqual(resolve("create_branch"), found({ server: "git", tool: "create_branch" }))
      assert.deepStrictEqual(resolve("status"), { kind: "ambiguous", candidates: ["git__status", "svn__status"] })
    })

    it("says what an unknown name may have meant", () => {
      const resolve = ToolNames.index(some)
      const near = (name: string) => {
        const answer = resolve(name)
        return answer.kind === "unknown" ? answer.nearest : answer
      }
      assert.deepStrictEqual(near("git__create_brunch"), ["git__create_branch"])
      assert.deepStrictEqual(near("create_brnch"), ["create_branch"])
      assert.deepStrictEqual(near("git.status"), ["git__status"])
      assert.deepStrictEqual(near("mcp__git__status"), ["git__status"])
      assert.deepStrictEqual(near("statsu"), ["git__status", "svn__status"])
      assert.deepStrictEqual(near("GIT__STATUS"), ["git__status", "svn__status"])
      assert.deepStrictEqual(near("weather"), [])
      assert.deepStrictEqual(near(""), [])
      assert.deepStrictEqual(near("git__status".repeat(100_000)), [])
    })

    it("says three of many", () => {
      const resolve = ToolNames.index(Array.from({ length: 9 }, (_, n) => ({ server: `s${n}`, tool: "status" })))
      assert.deepStrictEqual(resolve("statsu"), {
        kind: "unknown",
        nearest: ["s0__status", "s1__status", "s2__status"]
      })
      assert.deepStrictEqual(ToolNames.index([])("status"), { kind: "unknown", nearest: [] })
    })
  })
})
