/**
 * Completion scripts for shells, made from the table of commands. Names of domains are asked of `perdure ps` at the
 * moment of completing, so they are always the space's own.
 */
import { EnvironmentError } from '../base/errors.ts';
import { COMMANDS, COMMON_OPTIONS, type CommandSpec, type OptionSpec } from './commands.ts';
import { suggest } from './suggest.ts';

const SHELLS: Record<string, () => string> = { bash, zsh, fish };

export function completionScript(shell: string): string {
  const make = SHELLS[shell];
  if (make !== undefined) return make();
  const meant = suggest(shell, Object.keys(SHELLS));
  throw new EnvironmentError(
    'usage',
    `there is no completion for "${shell}"`,
    meant === undefined ? 'bash, zsh and fish have one' : `did you mean "${meant}"?`,
  );
}

/** What completes a value of an option, in bash; files where nothing is said. */
function bashValues({ values }: OptionSpec): string {
  if (values === 'folder') return 'compgen -d -- "$word"';
  return typeof values === 'object' ? `compgen -W "${values.join(' ')}" -- "$word"` : 'compgen -f -- "$word"';
}

/** A case for each option that takes a value, of whatever command: one name means the same in all. */
function bashOptions(): string {
  const known = new Map<string, string>();
  for (const option of COMMANDS.flatMap((command) => command.options)) {
    if (option.value === undefined) continue;
    const words = [`--${option.name}`, ...(option.short === undefined ? [] : [`-${option.short}`])];
    known.set(words.join('|'), bashValues(option));
  }
  return [...known].map(([words, values]) => `    ${words}) COMPREPLY=($(${values})); return ;;`).join('\n');
}

function optionWords(command: CommandSpec): string {
  return [...command.options, ...COMMON_OPTIONS].map((option) => `--${option.name}`).join(' ');
}

const NAMES = 'perdure ps --names 2>/dev/null';

function bash(): string {
  const cases = COMMANDS.map((command) => {
    const words: Record<string, string> = {
      domain: `$(${NAMES})`,
      command: COMMANDS.map((other) => other.name).join(' '),
      shell: Object.keys(SHELLS).join(' '),
    };
    const list = words[command.completes ?? ''];
    const others = list === undefined ? 'compgen -f -- "$word"' : `compgen -W "${list}" -- "$word"`;
    return `    ${command.name}) options="${optionWords(command)}"; others() { ${others}; } ;;`;
  });
  return `_perdure() {
  local word="\${COMP_WORDS[COMP_CWORD]}" options=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${COMMANDS.map((command) => command.name).join(' ')}" -- "$word"))
    return
  fi
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
${bashOptions()}
  esac
  others() { compgen -f -- "$word"; }
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    *) COMPREPLY=($(others)) ;;
  esac
}
complete -o filenames -F _perdure perdure
`;
}

function zsh(): string {
  return `#compdef perdure
autoload -U +X bashcompinit && bashcompinit
${bash()}`;
}

function fishValues({ values }: OptionSpec): string {
  if (values === 'folder') return " -f -a '(__fish_complete_directories)'";
  return typeof values === 'object' ? ` -f -a '${values.join(' ')}'` : ' -F';
}

function fish(): string {
  const lines = ['complete -c perdure -f'];
  const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  for (const command of COMMANDS) {
    lines.push(
      `complete -c perdure -n __fish_use_subcommand -a ${command.name} -d ${quote(command.summary)}`,
    );
    const when = `-n '__fish_seen_subcommand_from ${command.name}'`;
    for (const option of [...command.options, ...COMMON_OPTIONS]) {
      const short = option.short === undefined ? '' : ` -s ${option.short}`;
      const value = option.value === undefined ? '' : ` -r${fishValues(option)}`;
      lines.push(`complete -c perdure ${when} -l ${option.name}${short}${value} -d ${quote(option.help)}`);
    }
    if (command.completes === 'domain') lines.push(`complete -c perdure ${when} -a '(${NAMES})'`);
    if (command.completes === 'wasm' || command.completes === 'archive') {
      lines.push(`complete -c perdure ${when} -F`);
    }
  }
  return `${lines.join('\n')}\n`;
}
