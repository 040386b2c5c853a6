import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"

const read = (name: string): string =>
  fs.readFileSync(fileURLToPath(new URL(`../../dist/bin/${name}`, import.meta.url)), "utf8")

const imports = (name: string): ReadonlyArray<string> =>
  [...read(name).matchAll(/(?:from|import)\s*\(?["'`]([^"'`\s]+)["'`]/g)].map(([, from]) => from!)

describe("the executable's connect", () => {
  it("is one small file, and two that it reads when it needs them, with nothing of Effect", () => {
    assert.deepStrictEqual(
      imports("connect.js")
        .filter((it) => !it.startsWith("node:"))
        .sort(),
      ["./refusal.js", "./waking.js"]
    )
    assert.isBelow(read("connect.js").length, 32 * 1024)
    for (const name of ["refusal.js", "waking.js"]) {
      assert.deepStrictEqual(
        imports(name).filter((it) => !it.startsWith("node:")),
        []
      )
    }
  })
})

describe("the executable's serve", () => {
  it("is one file, and imports nothing that is slow to", () => {
    const all = imports("serveMain.js")
    assert.deepStrictEqual(
      all.filter((it) => it.startsWith("./")),
      []
    )
    for (const slow of ["node:crypto", "node:http", "node:https", "node:worker_threads"]) assert.notInclude(all, slow)
  })
})
