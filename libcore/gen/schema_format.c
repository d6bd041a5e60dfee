/* SPDX-License-Identifier: MIT */
/* schema_format.c - what formats ask, as patterns of whole strings
 *
 * Each takes valid strings only (RFC 3339, 5321, 1123, 4291, 3986, 6901,
 * 4122), not always all of them: the rare spellings are left out. */
#include <string.h>

#include "gen/schema.h"

#define DAY_28 "(0[1-9]|1[0-9]|2[0-8])"
#define DATE                                                                                  \
	"([0-9]{4}-((0[1-9]|1[0-2])-" DAY_28 "|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)" \
	"|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
#define CLOCK "([01][0-9]|2[0-3]):[0-5][0-9]"
#define TIME CLOCK ":[0-5][0-9](\\.[0-9]{1,9})?([Zz]|[+-]" CLOCK ")"
#define LABEL "[A-Za-z0-9](-?[A-Za-z0-9]){0,30}"
#define HOST LABEL "(\\." LABEL "){0,3}"
#define ATOM "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
#define OCTET "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4 OCTET "(\\." OCTET "){3}"
#define H16 "[0-9A-Fa-f]{1,4}"
#define IPV6                                                                                   \
	"((" H16 ":){7}" H16 "|(" H16 ":){1,7}:|(" H16 ":){1,6}:" H16 "|(" H16 ":){1,5}(:" H16 \
	"){1,2}|(" H16 ":){1,4}(:" H16 "){1,3}|(" H16 ":){1,3}(:" H16 "){1,4}|(" H16           \
	":){1,2}(:" H16 "){1,5}|" H16 ":(:" H16 "){1,6}|:(:" H16 "){1,7}|::)"
#define PCHAR "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
#define TAIL "(\\?(" PCHAR "|[/?])*)?(#(" PCHAR "|[/?])*)?"
#define URI                                                                                   \
	"[A-Za-z][A-Za-z0-9+.-]*:(//(([A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+@)?(" HOST "|\\[" IPV6 \
	"\\])(:[0-9]{1,5})?(/" PCHAR "*)*|" PCHAR "+(/" PCHAR "*)*)" TAIL
#define POINTER "(/([^~/]|~[01])*)*"

static const struct format formats[] = {
	{ "date", DATE, 0, 0 },
	{ "time", TIME, 0, 0 },
	{ "date-time", "(" DATE ")[Tt]" TIME, 0, 0 },
	{ "duration",
	  "P([0-9]{1,9}W|([0-9]{1,9}Y([0-9]{1,9}M([0-9]{1,9}D)?)?|[0-9]{1,9}M([0-9]{1,9}D)?|[0-9]{"
	  "1,9}D)"
	  "(T([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S))?"
	  "|T([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S))",
	  0, 0 },
	{ "email", ATOM "{1,32}(\\." ATOM "{1,15}){0,2}@" HOST, 0, 0 },
	{ "hostname", HOST, 0, 0 },
	{ "ipv4", IPV4, 0, 0 },
	{ "ipv6", IPV6, 0, 0 },
	{ "uri", URI, 0, 0 },
	{ "iri", URI, 0, 0 },
	{ "uri-reference",
	  "(" URI "|(/(" PCHAR "+(/" PCHAR "*)*)?|([A-Za-z0-9._~!$&'()*+,;=@-])+(/" PCHAR
	  "*)*)?" TAIL ")",
	  0, 0 },
	{ "uuid", "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", 0, 0 },
	{ "json-pointer", POINTER, 0, 0 },
	{ "relative-json-pointer", "(0|[1-9][0-9]*)(#|" POINTER ")", 0, 0 },
	/* OpenAPI's */
	{ "byte", "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?",
	  0, 0 },
	{ "password", NULL, 0, 0 },
	{ "int32", NULL, -2147483648.0, 2147483647.0 },
	{ "int64", NULL, -9223372036854774784.0, 9223372036854774784.0 },
	{ "float", NULL, -3.4e38, 3.4e38 },
	{ "double", NULL, 0, 0 },
};

const struct format *format_find(const char *name)
{
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (!strcmp(formats[i].name, name))
			return &formats[i];
	return NULL;
}
