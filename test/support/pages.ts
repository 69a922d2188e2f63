/** Helpers for tests that read Markdown pages. */

const BLOCK = /^( *)```(\w*)\n([^]*?)^ *```$/gm

/** Removes the code blocks. */
export function withoutBlocks(page: string): string {
  return page.replace(BLOCK, '')
}

/** The code blocks in a language, without their indentation in lists. */
export function blocksOf(page: string, language: string): string[] {
  return Array.from(withoutIndentation(page).matchAll(BLOCK), ([, , name, text = '']) =>
    name === language ? text : '',
  ).filter((text) => text !== '')
}

/** Removes the indentation that code blocks in lists have. */
export function withoutIndentation(page: string): string {
  return page.replace(BLOCK, (block, indent: string) =>
    block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  )
}
