/** Which arguments of tools are said in headers, too. */
import { assert, describe, it } from "@effect/vitest"
import { RemoteParams } from "../../../src/server/remote/RemoteParams.ts"

const tool = (name: string, properties: object) => ({ name, inputSchema: { type: "object", properties } })

const headersOf = (tools: ReadonlyArray<object>, name: string, given: unknown) => {
  const params = new RemoteParams()
  params.listed(JSON.stringify({ id: 1, result: { tools } }))
  return params.headers(name, Buffer.from(JSON.stringify({ params: { name, arguments: given } })))
}

describe("RemoteParams", () => {
  const properties = {
    region: { type: "string", "x-mcp-header": "Region" },
    inner: { type: "object", properties: { deep: { type: "integer", "x-mcp-header": "Deep" } } },
    flag: { type: "boolean", "x-mcp-header": "Flag" },
    bad: { type: "string", "x-mcp-header": "no header" },
    list: { type: "array", items: { type: "string", "x-mcp-header": "Item" } },
    plain: { type: "string" }
  }

  it("says those that are declared, encoded where no header can have them", () => {
    const given = { region: "Köln", inner: { deep: 7 }, flag: false, bad: "b", list: ["i"], plain: "p" }
    assert.deepStrictEqual(headersOf([tool("a", properties)], "a", given), {
      "Mcp-Param-Region": `=?base64?${Buffer.from("Köln").toString("base64")}?=`,
      "Mcp-Param-Deep": "7",
      "Mcp-Param-Flag": "false"
    })
  })

  it("says none of what is not declared any more", () => {
    const params = new RemoteParams()
    const body = Buffer.from(JSON.stringify({ params: { name: "a", arguments: { region: "eu" } } }))
    params.listed(JSON.stringify({ result: { tools: [tool("a", properties)] } }))
    assert.deepStrictEqual(params.headers("a", body), { "Mcp-Param-Region": "eu" })
    params.listed(JSON.stringify({ result: { tools: [tool("a", {})] } }))
    assert.deepStrictEqual(params.headers("a", body), {})
  })

  it("says none of what is not given, is no plain value, or belongs to another tool", () => {
    const tools = [tool("a", properties), tool("b", {})]
    assert.deepStrictEqual(headersOf(tools, "a", { region: null, inner: "x", flag: {} }), {})
    assert.deepStrictEqual(headersOf(tools, "b", { region: "x" }), {})
    assert.deepStrictEqual(headersOf(tools, "c", { region: "x" }), {})
    for (const strange of [null, 1, "x", [], [{ name: 1 }], { result: 1 }]) {
      const params = new RemoteParams()
      params.listed(`"x-mcp-header"`)
      params.listed(JSON.stringify({ result: { tools: strange, "x-mcp-header": 1 } }))
      assert.deepStrictEqual(params.headers("a", Buffer.from("{")), {})
    }
  })
})
