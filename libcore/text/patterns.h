/* SPDX-License-Identifier: MIT */
/* patterns.h - the expressions that several tables name. */
#ifndef CLM_TEXT_PATTERNS_H
#define CLM_TEXT_PATTERNS_H

#define P_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
#define P_SHORT "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define P_LONG "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define P_WORD "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define P_REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define P_WORD_M "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+"
#define P_REST_M "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define P_REST_SLASH "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define P_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define P_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define P_BEFORE "[^\\r\\n\\p{L}\\p{N}]?"
#define P_CASED(end) P_BEFORE P_UPPER "*" P_LOWER "+" end "|" P_BEFORE P_UPPER "+" P_LOWER "*" end

#define P_WORDS_1 P_SHORT P_WORD "|\\p{N}" P_REST
#define P_WORDS_3 P_SHORT P_WORD "|\\p{N}{1,3}" P_REST
#define P_O200K P_CASED(P_SHORT "?") "|\\p{N}{1,3}" P_REST_SLASH
#define P_TEKKEN P_CASED("") "|\\p{N}" P_REST_SLASH

#endif
