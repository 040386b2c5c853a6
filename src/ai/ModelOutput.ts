/** A tool's result in the parts that a language model reads. Pure. */
import { Option, Predicate, Schema } from "effect"
import { Prompt } from "effect/ai"
import { isDeepStrictEqual } from "node:util"

/** All of it, at least one part. What is not as MCP has it becomes JSON text: models read that, and nothing is lost. */
export const partsOf = (result: {
  readonly content: ReadonlyArray<unknown>
  readonly structuredContent?: unknown
}): ReadonlyArray<Prompt.ToolModelOutputPart> => {
  const { content, structuredContent } = result
  const parts = content.map((block) =>
    Option.match(decodeBlock(block), { onNone: () => text(JSON.stringify(block)), onSome: partOf })
  )
  const texts = parts.flatMap((part) => (part.type === "text" ? [part.text] : []))
  const isSaid =
    structuredContent === undefined || texts.some((text) => isDeepStrictEqual(read(text), structuredContent))
  if (!isSaid) parts.push(text(JSON.stringify(structuredContent)))
  return parts.length === 0 ? [text("(nothing was returned)")] : parts
}

/** What a model needs of a content block (https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-result). */
const Block = Schema.Union([
  Schema.Struct({ type: Schema.Literal("text"), text: Schema.String }),
  Schema.Struct({ type: Schema.Literals(["image", "audio"]), data: Schema.String, mimeType: Schema.String }),
  Schema.Struct({
    type: Schema.Literal("resource"),
    resource: Schema.Union([
      Schema.Struct({ uri: Schema.String, text: Schema.String }),
      Schema.Struct({ uri: Schema.String, blob: Schema.String, mimeType: Schema.optionalKey(Schema.String) })
    ])
  }),
  Schema.Struct({
    type: Schema.Literal("resource_link"),
    uri: Schema.String,
    name: Schema.String,
    title: Schema.optionalKey(Schema.String),
    description: Schema.optionalKey(Schema.String)
  })
])

const decodeBlock = Schema.decodeUnknownOption(Block)

const partOf = (block: typeof Block.Type): Prompt.ToolModelOutputPart => {
  switch (block.type) {
    case "text":
      return text(block.text)
    case "image":
    case "audio":
      return Prompt.filePart({ mediaType: block.mimeType, data: block.data })
    case "resource": {
      const { resource } = block
      if ("text" in resource) return text(`${resource.uri}\n${resource.text}`)
      const mediaType = resource.mimeType ?? "application/octet-stream"
      return Prompt.filePart({ mediaType, data: resource.blob, fileName: resource.uri })
    }
    case "resource_link":
      return text([block.uri, block.title ?? block.name, block.description].filter(Predicate.isNotUndefined).join("\n"))
  }
}

const text = (text: string): Prompt.TextPart => Prompt.textPart({ text })

/** What a text says in JSON. */
const read = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
