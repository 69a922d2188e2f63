/** Reads code blocks from Markdown pages, for tests of the documentation. */

const BLOCK = /^( *)```(\w*)\n([^]*?)^ *```$/gm

/** Returns the text of a Markdown page without its code blocks. */
export function withoutBlocks(page: string): string {
  return page.replace(BLOCK, '')
}

/** Returns the code blocks of a Markdown page in one language, without the indentation of blocks in lists. */
export function blocksOf(page: string, language: string): string[] {
  return Array.from(withoutIndentation(page).matchAll(BLOCK), ([, , name, text = '']) =>
    name === language ? text : '',
  ).filter((text) => text !== '')
}

/** Removes the indentation of a code block in a list. */
export function withoutIndentation(page: string): string {
  return page.replace(BLOCK, (block, indent: string) =>
    block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  )
}
