import { AwsError } from '../errors.ts'
import type { Shape } from '../shapes.ts'
import type { WireResponse } from './response.ts'
import { xmlDeclaration, xmlElement, xmlText } from './xml.ts'

/** Parameters of a form. AWS's Query services take far fewer; each costs an object here. */
const mostParameters = 5000

/** Parts of a parameter's name, as in `Tags.member.1.Key`. */
const deepestName = 16

/** The parameters of a form body or query string by their dotted names. */
export interface QueryForm {
  /** Absent where the form has none. */
  readonly action: string | undefined
  readonly version: string | undefined
  readonly root: QueryNode
}

interface QueryNode {
  value: string | undefined
  readonly children: Map<string, QueryNode>
}

/**
 * Reads an application/x-www-form-urlencoded text.
 * @throws AwsError MalformedInput where it is not UTF-8, has bad escapes, or names a parameter twice.
 */
export function parseQueryForm(bytes: Buffer, maxParameters = mostParameters): QueryForm {
  const root: QueryNode = { value: undefined, children: new Map() }
  const parts = bytes.toString('latin1').split('&', maxParameters + 1)
  if (parts.length > maxParameters) throw malformedInput('The request has too many parameters.')
  for (const part of parts) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = decodeFormText(equals === -1 ? part : part.slice(0, equals))
    const value = decodeFormText(equals === -1 ? '' : part.slice(equals + 1))
    const steps = name.split('.', deepestName + 1)
    if (steps.length > deepestName) throw malformedInput('A parameter is nested too deep.')
    let node = root
    for (const step of steps) {
      let child = node.children.get(step)
      if (child === undefined) node.children.set(step, (child = { value: undefined, children: new Map() }))
      node = child
    }
    if (node.value !== undefined) throw malformedInput('A parameter is given more than once.')
    node.value = value
  }
  return { action: root.children.get('Action')?.value, version: root.children.get('Version')?.value, root }
}

/**
 * The input of an operation in the form that `checkInput` takes.
 * @throws AwsError MalformedInput where a value has the wrong type altogether.
 */
export function decodeQueryInput(form: QueryForm, shape: Shape): unknown {
  return decodeNode(form.root, shape, '')
}

export interface QueryNames {
  readonly action: string
  readonly xmlns: string
  readonly requestId: string
}

export function encodeQueryResult(output: unknown, { action, xmlns, requestId }: QueryNames): WireResponse {
  const result = output === undefined || output === null ? '' : element(`${action}Result`, output)
  const metadata = `<ResponseMetadata>${xmlElement('RequestId', requestId)}</ResponseMetadata>`
  return xml(200, `<${action}Response xmlns="${xmlText(xmlns)}">${result}${metadata}</${action}Response>`)
}

/** `Type` says whose fault it was, as AWS has it: `Sender` or `Receiver`. */
export function encodeQueryError(error: AwsError, names: { xmlns?: string | undefined; requestId: string; code?: string }): WireResponse {
  const fault = error.status >= 500 ? 'Receiver' : 'Sender'
  const detail = `${xmlElement('Type', fault)}${xmlElement('Code', names.code ?? error.type)}${xmlElement('Message', error.message)}`
  const namespace = names.xmlns === undefined ? '' : ` xmlns="${xmlText(names.xmlns)}"`
  return xml(
    error.status,
    `<ErrorResponse${namespace}><Error>${detail}</Error>${xmlElement('RequestId', names.requestId)}</ErrorResponse>`,
  )
}

/** EC2's own form of the Query protocol's error. */
export function encodeEc2Error(error: AwsError, requestId: string): WireResponse {
  const detail = `${xmlElement('Code', error.type)}${xmlElement('Message', error.message)}`
  return xml(
    error.status,
    `<Response><Errors><Error>${detail}</Error></Errors>${xmlElement('RequestID', requestId)}</Response>`,
  )
}

function xml(status: number, document: string): WireResponse {
  return { status, headers: { 'Content-Type': 'text/xml' }, body: xmlDeclaration + document }
}

/** Lists have `member` elements, maps `entry` elements with key and value; absent members are left out. */
function element(name: string, value: unknown): string {
  if (value === undefined || value === null) return ''
  if (Array.isArray(value)) {
    return `<${name}>${value.map((each: unknown) => element('member', each)).join('')}</${name}>`
  }
  if (value instanceof Map) {
    const entries = [...(value as Map<string, unknown>)].map(
      ([key, each]) => `<entry>${xmlElement('key', key)}${element('value', each)}</entry>`,
    )
    return `<${name}>${entries.join('')}</${name}>`
  }
  if (value instanceof Date) return xmlElement(name, value.toISOString())
  if (value instanceof Uint8Array) return xmlElement(name, Buffer.from(value).toString('base64'))
  switch (typeof value) {
    case 'object': {
      const members = Object.entries(value).map(([member, each]) => element(member, each))
      return `<${name}>${members.join('')}</${name}>`
    }
    case 'string':
    case 'number':
    case 'boolean':
      return xmlElement(name, String(value))
    default:
      throw new TypeError(`${name} has no form in XML`)
  }
}

function decodeNode(node: QueryNode, shape: Shape, path: string): unknown {
  switch (shape.kind) {
    case 'string':
    case 'blob':
      return scalar(node, path)
    case 'integer': {
      const text = scalar(node, path)
      if (!/^[+-]?\d{1,19}$/.test(text)) throw malformedInput(`The value of '${path}' is not an integer.`)
      return Number(text)
    }
    case 'double': {
      const text = scalar(node, path)
      if (!/^[+-]?(\d{1,330}(\.\d{0,330})?|\.\d{1,330})([eE][+-]?\d{1,4})?$|^NaN$|^-?Infinity$/.test(text)) throw malformedInput(`The value of '${path}' is not a number.`)
      return Number(text)
    }
    case 'boolean': {
      const text = scalar(node, path)
      if (text !== 'true' && text !== 'false') throw malformedInput(`The value of '${path}' is neither true nor false.`)
      return text === 'true'
    }
    case 'timestamp': {
      const text = scalar(node, path)
      const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN
      if (Number.isNaN(ms)) throw malformedInput(`The value of '${path}' is not an ISO 8601 time.`)
      return ms / 1000
    }
    case 'list':
      return numbered(node.children.get('member'), `${path}.member`).map(({ child, name }) =>
        decodeNode(child, shape.element, name),
      )
    case 'map': {
      const result = Object.create(null) as Record<string, unknown>
      for (const { child, name } of numbered(node.children.get('entry'), `${path}.entry`)) {
        const key = child.children.get('key')
        const value = child.children.get('value')
        if (key === undefined || value === undefined) throw malformedInput(`The entry '${name}' lacks its key or value.`)
        result[scalar(key, `${name}.key`)] = decodeNode(value, shape.value, `${name}.value`)
      }
      return result
    }
    case 'structure': {
      const result: Record<string, unknown> = {}
      for (const [name, member] of Object.entries(shape.members)) {
        const child = node.children.get(name)
        if (child !== undefined) result[name] = decodeNode(child, member, path === '' ? name : `${path}.${name}`)
      }
      return result
    }
  }
}

function scalar(node: QueryNode, path: string): string {
  if (node.value === undefined) throw malformedInput(`The value of '${path}' is not a simple value.`)
  return node.value
}

/** Elements in the order of their numbers, which need not be without gaps. */
function numbered(node: QueryNode | undefined, path: string): { child: QueryNode; name: string }[] {
  const elements = [...(node?.children ?? [])].map(([index, child]) => {
    if (!/^[1-9]\d{0,8}$/.test(index)) throw malformedInput(`An element of '${path}' has no number.`)
    return { child, name: `${path}.${index}`, position: Number(index) }
  })
  return elements.sort((a, b) => a.position - b.position)
}

function decodeFormText(text: string): string {
  if (!/[+%\u0080-\u00ff]/.test(text)) return text
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) throw malformedInput('A parameter has a malformed escape.')
  const bytes = text
    .replaceAll('+', ' ')
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes, 'latin1'))
  } catch {
    throw malformedInput('A parameter is not valid UTF-8.')
  }
}

function malformedInput(message: string): AwsError {
  return new AwsError('MalformedInput', message)
}
