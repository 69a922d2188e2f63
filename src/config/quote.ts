// Characters that JSON.stringify does not escape but that change the output of a terminal: DEL, C1 control
// characters, line separators and changes of the text direction.
const CONTROL_CHARACTERS = /[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

const MAX_LENGTH = 80

/** Formats a text for an error message: in quotes, on one line, and cut to 80 characters. */
export function quote(text: string): string {
  return JSON.stringify(clip(text)).replace(CONTROL_CHARACTERS, escapeCharacter)
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Cuts a text to 80 characters. */
export function clip(text: string): string {
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text
}
