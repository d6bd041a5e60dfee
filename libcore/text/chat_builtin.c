/* SPDX-License-Identifier: MIT */
/* chat_builtin.c - templates for models that bring none: the forms that most
 * models were trained on. Roles, texts, and nothing else; tools are for a
 * model's own template. */
#include "text/chat_builtin.h"

/* System text goes before the user text that follows it. */
#define KEEP_SYSTEM                                                          \
	"{% set ns = namespace(system='') %}{% for m in messages %}"         \
	"{% set text = (m.content or '') | trim %}"                          \
	"{% if m.role in ['system', 'developer'] %}"                         \
	"{% set ns.system = ns.system + text + '\\n\\n' %}"

const struct chat_builtin chat_builtins[CHAT_BUILTINS] = {
	{ "llama3", "Llama 3", "<|start_header_id|>", "",
	  "{{ bos_token }}{% for m in messages %}"
	  "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' }}"
	  "{{ (m.content or '') | trim + '<|eot_id|>' }}{% endfor %}"
	  "{% if add_generation_prompt %}"
	  "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}" },
	{ "gemma", "Gemma", "<start_of_turn>", "gemma gemma2 gemma3 gemma3_text",
	  "{{ bos_token }}" KEEP_SYSTEM "{% else %}"
	  "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else 'user') + '\\n' }}"
	  "{{ ns.system + text + '<end_of_turn>\\n' }}{% set ns.system = '' %}{% endif %}"
	  "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}" },
	{ "mistral", "Mistral", "[INST]", "mistral mixtral",
	  "{{ bos_token }}" KEEP_SYSTEM "{% elif m.role == 'assistant' %}"
	  "{{ ' ' + text }}{{ eos_token }}{% else %}"
	  "{{ '[INST] ' + ns.system + text + '[/INST]' }}{% set ns.system = '' %}{% endif %}"
	  "{% endfor %}" },
	{ "chatml", "ChatML", "<|im_start|>", "",
	  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
	  "{{ (m.content or '') + '<|im_end|>\\n' }}{% endfor %}"
	  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}" },
};
