/** JSON Schemas as servers' libraries write them, and values that each takes. */

export interface Shape {
  /** A name in camel case. */
  readonly name: string
  readonly schema: object
  readonly samples: ReadonlyArray<object>
}

const key = { type: "object", properties: { k: { type: "string" } }, required: ["k"] }

const tree = {
  type: "object",
  properties: {
    kids: { type: "array", items: { $ref: "#/$defs/Tree" } },
    next: { anyOf: [{ $ref: "#/$defs/Tree" }, { type: "null" }], default: null, description: "The next" }
  }
}

export const shapes: ReadonlyArray<Shape> = [
  {
    name: "references",
    schema: {
      type: "object",
      properties: {
        a: { $ref: "#/$defs/Key", description: "A key" },
        b: { $ref: "#/$defs/Key" },
        t: { $ref: "#/$defs/Tree", description: "A tree" }
      },
      $defs: { Key: key, Tree: tree }
    },
    samples: [{}, { a: { k: "x" }, b: { k: "y" }, t: { kids: [{ next: null }, { kids: [] }], next: { kids: [{}] } } }]
  },
  { name: "tree", schema: { $ref: "#/$defs/Tree", $defs: { Tree: tree } }, samples: [{ kids: [{ kids: [{}] }] }] },
  {
    name: "values",
    schema: {
      type: "object",
      properties: {
        nullable: { type: ["string", "null"], description: "Or null" },
        optional: { anyOf: [{ type: "integer" }, { type: "null" }], default: null, title: "Optional" },
        tuple: { type: "array", prefixItems: [{ type: "number" }, { type: "string" }], minItems: 2, items: false },
        short: { type: "string", minLength: 1, maxLength: 5 },
        map: { type: "object", additionalProperties: { type: "number" } },
        set: { type: "array", items: { type: "string" }, uniqueItems: true },
        any: {},
        five: { const: 5 },
        even: { type: "integer", minimum: 0, maximum: 10, multipleOf: 2 },
        never: false
      }
    },
    samples: [
      { nullable: null, optional: null, tuple: [1, "b"], short: "🎉🎉🎉🎉🎉", map: { a: 1.5 }, set: ["a", "b"] },
      { nullable: "x", optional: 1, any: { deep: [null] }, five: 5, even: 8 }
    ]
  },
  {
    name: "allOf",
    schema: {
      type: "object",
      allOf: [{ $ref: "#/$defs/Key" }, { properties: { z: { type: "boolean" } } }],
      $defs: { Key: key }
    },
    samples: [{ k: "x", z: true }]
  },
  {
    name: "anyOf",
    schema: {
      type: "object",
      properties: { a: { type: "string" }, b: { type: "string" } },
      anyOf: [{ required: ["a"] }, { required: ["b"] }]
    },
    samples: [{ a: "x" }, { b: "y" }, { a: "x", b: "y" }]
  },
  {
    name: "oneOf",
    schema: {
      type: "object",
      oneOf: [
        { type: "object", properties: { kind: { const: "a" }, x: { type: "number" } }, required: ["kind", "x"] },
        { type: "object", properties: { kind: { const: "b" }, y: { type: "number" } }, required: ["kind"] }
      ]
    },
    samples: [{ kind: "a", x: 1 }, { kind: "b" }, { kind: "b", y: 2 }]
  },
  {
    name: "overlapping",
    schema: { type: "object", anyOf: [key, { ...key, properties: { ...key.properties, more: { type: "number" } } }] },
    samples: [{ k: "x" }, { k: "x", more: 1 }]
  },
  {
    name: "mixed",
    schema: { type: "object", properties: { a: { type: "string" } }, additionalProperties: { type: "number" } },
    samples: [{ a: "x", b: 1 }]
  },
  {
    name: "patterned",
    schema: {
      type: "object",
      properties: { a: { type: "string" } },
      patternProperties: { "^x-": { type: "number" } },
      additionalProperties: false
    },
    samples: [{ a: "x", "x-b": 1 }]
  },
  {
    name: "open",
    schema: {
      type: "object",
      properties: {
        some: { type: "object", properties: { a: { type: "number" } }, additionalProperties: {} },
        all: { type: "object", additionalProperties: true }
      }
    },
    samples: [{ some: { a: 1, b: "c" }, all: { d: [1] } }]
  },
  {
    name: "unread",
    schema: { type: "object", properties: { parent: { $ref: "#" } } },
    samples: [{ parent: { parent: {} } }]
  },
  {
    name: "draft7",
    schema: {
      $schema: "http://json-schema.org/draft-07/schema#",
      type: "object",
      properties: { pair: { type: "array", items: [{ $ref: "#/definitions/Key" }, { type: "number" }] } },
      definitions: { Key: key }
    },
    samples: [{ pair: [{ k: "x" }, 1] }]
  }
]
