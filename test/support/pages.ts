/** Markdown pages, as tests read them. */

const BLOCK = /^( *)```(\w*)\n([^]*?)^ *```$/gm

/** Without the blocks of code. */
export function withoutBlocks(page: string): string {
  return page.replace(BLOCK, '')
}

/** The blocks of code in that language, without their indentation in lists. */
export function blocksOf(page: string, language: string): string[] {
  return Array.from(withoutIndentation(page).matchAll(BLOCK), ([, , name, text = '']) =>
    name === language ? text : '',
  ).filter((text) => text !== '')
}

/** A block of code in a list has the indentation of the list, which is not part of the code. */
export function withoutIndentation(page: string): string {
  return page.replace(BLOCK, (block, indent: string) =>
    block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  )
}
