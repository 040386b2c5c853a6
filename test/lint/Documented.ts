/**
 * The lint rule that what is exported says what it is: a comment on each export, on each member of a service, and on each
 * function and each number (its unit) of an exported interface or schema. `.oxlintrc.json` says where it holds.
 */
import type { RuleTester } from "oxlint/plugins-dev"

type Rule = Exclude<Parameters<RuleTester["run"]>[1], { createOnce: unknown }>
type Context = Parameters<Rule["create"]>[0]
type Visitor = ReturnType<Rule["create"]>
type NodeOf<Type extends keyof Visitor> = Visitor[Type] extends ((node: infer Node) => void) | undefined ? Node : never
type Declaration = NonNullable<NodeOf<"ExportNamedDeclaration">["declaration"]>
type Member = NodeOf<"TSInterfaceBody">["body"][number]
type Type = NodeOf<"TSTypeAnnotation">["typeAnnotation"]
type Value = NodeOf<"ExpressionStatement">["expression"]
type Field = NodeOf<"ObjectExpression">["properties"][number]

const documented: Rule = {
  create: (context) => {
    const code = context.sourceCode
    const require = (node: Parameters<typeof hasDocumentation>[1], what: string) => {
      if (!hasDocumentation(context, node)) context.report({ node, message: `"${what}" has no documentation` })
    }
    /** Overloads are one function: the words stand before the first. */
    const functions = new Set<string>()
    const members = (owner: string, all: ReadonlyArray<Member>, isService: boolean) => {
      for (const member of all) {
        if (member.type !== "TSPropertySignature" && member.type !== "TSMethodSignature") continue
        const isFunction = member.type === "TSMethodSignature"
        if (isService || isFunction || needsWords(member.typeAnnotation?.typeAnnotation))
          require(member, `${owner}.${code.getText(member.key)}`)
      }
    }
    return {
      ExportNamedDeclaration: (node) => {
        const { declaration } = node
        if (declaration === null) return
        const name = nameOf(declaration)
        // The type of a schema of the same name, which is documented.
        const isTypeOf =
          declaration.type === "TSTypeAliasDeclaration" &&
          code.getText(declaration.typeAnnotation) === `typeof ${name}.Type`
        if (isTypeOf || functions.has(name)) return
        if (declaration.type === "FunctionDeclaration" || declaration.type === "TSDeclareFunction") functions.add(name)
        require(node, name)
        if (declaration.type === "TSInterfaceDeclaration") members(name, declaration.body.body, false)
        if (declaration.type === "ClassDeclaration") members(name, serviceOf(declaration.superClass), true)
        for (const field of fieldsOf(declaration)) {
          if (field.type === "Property" && isNumber.test(code.getText(field.value)))
            require(field, `${name}.${code.getText(field.key)}`)
        }
      }
    }
  }
}

const plugin = { meta: { name: "pool" }, rules: { documented } }

export default plugin

/** Right before the node, in the form that editors show. */
const hasDocumentation = (
  context: Context,
  node: Parameters<Context["sourceCode"]["getCommentsBefore"]>[0]
): boolean => {
  const comment = context.sourceCode.getCommentsBefore(node).at(-1)
  return comment?.type === "Block" && comment.value.startsWith("*") && comment.value.trim().length > 1
}

const nameOf = (declaration: Declaration): string => {
  const id =
    declaration.type === "VariableDeclaration"
      ? declaration.declarations[0]?.id
      : "id" in declaration
        ? declaration.id
        : null
  return id?.type === "Identifier" ? id.name : "?"
}

/** A number has a unit, and a function does something. */
const needsWords = (type: Type | undefined): boolean =>
  type?.type === "TSNumberKeyword" ||
  type?.type === "TSFunctionType" ||
  (type?.type === "TSUnionType" && type.types.some(needsWords))

/** The members of the interface in `Context.Service<X, { … }>()("…")`. */
const serviceOf = (node: Value | null): ReadonlyArray<Member> => {
  if (node?.type !== "CallExpression" || node.callee.type !== "CallExpression") return []
  const type = node.callee.typeArguments?.params[1]
  return type?.type === "TSTypeLiteral" ? type.members : []
}

/** The fields of an exported schema: of a class's last argument, or of a constant's struct. */
const fieldsOf = (declaration: Declaration): ReadonlyArray<Field> => {
  const call =
    declaration.type === "ClassDeclaration"
      ? declaration.superClass
      : declaration.type === "VariableDeclaration"
        ? declaration.declarations[0]?.init
        : null
  const last = call?.type === "CallExpression" ? call.arguments.at(-1) : undefined
  return last?.type === "ObjectExpression" ? last.properties : []
}

const isNumber = /\bSchema\.(Finite|Int|Number)\b/
