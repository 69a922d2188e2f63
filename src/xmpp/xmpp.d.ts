// Types for the parts of @xmpp/xml and @xmpp/component that the exporter uses. Both packages have no types. `parser`,
// `reconnect`, `socketParameters`, `timeout` and names that begin with `_` are internals of @xmpp/component 0.13.1
// and of the packages that it uses. test/unit/xmpp/xmpp-traps.test.ts checks that these internals work.

declare module '@xmpp/xml' {
  import type { EventEmitter } from 'node:events'

  class Element {
    constructor(name: string, attrs?: Record<string, string | undefined>)
    name: string
    parent: Element | null
    attrs: Record<string, string>
    children: (Element | string)[]
    /** Returns the name of the element without the namespace prefix. */
    getName(): string
    getNS(): string | undefined
    is(name: string, xmlns?: string): boolean
    getChild(name: string, xmlns?: string): Element | undefined
    getChildren(name: string, xmlns?: string): Element[]
    getChildElements(): Element[]
    getChildText(name: string, xmlns?: string): string | null
    text(): string
    append(...nodes: (Element | string)[]): void
    toString(): string
  }

  class Parser extends EventEmitter {
    /** The parser of ltx. It emits the start and the end of each element. */
    parser: EventEmitter
    root: Element | null
    write(data: string): void
  }

  type Child = Element | string | undefined | readonly Child[]

  const exported: {
    (
      name: string,
      attrs?: Record<string, string | undefined>,
      ...children: readonly Child[]
    ): Element
    Element: typeof Element
    Parser: typeof Parser
  }
  export default exported
  export type { Element, Parser }
}

declare module '@xmpp/component' {
  import type { EventEmitter } from 'node:events'
  import type { Socket } from 'node:net'
  import type { Element, Parser } from '@xmpp/xml'

  type Component = EventEmitter & {
    /** How long the library waits for a stream header or a reply before it rejects the promise, in milliseconds. */
    timeout: number
    socket: Socket | null
    parser: Parser | null
    reconnect: { stop(): void }
    socketParameters(service: string): { host: string; port: number }
    connect(service: string): Promise<unknown>
    open(options: { domain: string }): Promise<unknown>
    _onData(data: Buffer): void
    _onElement(element: Element): void
    _onParserError(error: Error): void
  }

  type Authenticate = (secret: string) => Promise<void>

  export function component(options: {
    service: string
    domain: string
    password: (authenticate: Authenticate) => Promise<void>
  }): Component
}
