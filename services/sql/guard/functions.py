"""The functions that a statement may call, by dialect. What is not listed is refused.

Listed are functions that only compute from their arguments and the rows they are given. Left out, whatever their use:
those that reach files, the network, other statements or the session (`pg_read_file`, `read_csv`, `url`, `set_config`,
`nextval`), that wait or lock (`pg_sleep`, `GET_LOCK`), that run SQL held in text (`query_to_xml`, `ts_stat`,
`crosstab`), that tell of the server (`version`, `hostName`), and that fill memory with one call (`zeroblob`, `printf`).
"""

from __future__ import annotations

from services.sql.language.words import listed
from services.sql.schema import Dialect

_COMMON = """abs acos asin atan atan2 avg bit_length cast ceil ceiling char_length character_length coalesce concat
cos cot count cume_dist current_date current_time current_timestamp date degrees dense_rank exp extract first_value
floor greatest group_concat grouping ifnull instr json_array_length lag last_value lead least left length ln log
log10 log2 lower lpad ltrim max min mod nth_value ntile nullif octet_length percent_rank pi position pow power
radians rank regexp_replace repeat replace reverse right round row_number rpad rtrim sign sin sqrt stddev stddev_pop
stddev_samp string_agg strpos substr substring sum tan trim trunc truncate upper var_pop var_samp variance"""

# Not printf and format: one call with a width fills gigabytes, and no timeout is looked at inside a function. Not
# json_each and json_tree: they are virtual tables, which the authorizer of execution does not let through.
_SQLITE = """changes char concat_ws datetime glob hex if iif initcap json json_array json_extract json_group_array
json_group_object json_object json_quote json_type json_valid jsonb julianday like likelihood likely median
percentile percentile_cont percentile_disc quote random soundex strftime string_agg time timediff total typeof unhex
unicode unixepoch unlikely"""

_POSTGRESQL = """age any_value array array_agg array_append array_cat array_dims array_length array_lower
array_ndims array_position array_positions array_prepend array_remove array_replace array_to_json array_to_string
array_upper ascii asind atand bit_and bit_count bit_or bool_and bool_or btrim cardinality cbrt chr clock_timestamp
concat_ws convert_from corr cosd cosh covar_pop covar_samp date_add date_bin date_part date_subtract date_trunc
decode div encode every factorial format gcd generate_series generate_subscripts initcap isempty isfinite json_agg
json_array_elements json_array_elements_text json_build_array json_build_object json_each json_each_text
json_extract_path json_extract_path_text json_object json_object_agg json_object_keys json_strip_nulls json_typeof
jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object
jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_object_agg jsonb_object_keys
jsonb_path_exists jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set
jsonb_strip_nulls jsonb_typeof justify_days justify_hours justify_interval lcm levenshtein localtime localtimestamp
lower_inc make_date make_interval make_time make_timestamp make_timestamptz md5 min_scale mode multirange normalize
now num_nonnulls num_nulls numrange daterange tsrange int4range overlay parse_ident percentile_cont percentile_disc
phraseto_tsquery plainto_tsquery quote_ident quote_literal quote_nullable random range_agg range_merge regexp_count
regexp_instr regexp_like regexp_match regexp_matches regexp_split_to_array regexp_split_to_table regexp_substr
regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy row row_to_json scale
sha256 similarity sind sinh soundex split_part starts_with statement_timestamp string_to_array string_to_table tand
tanh timezone to_char to_date to_hex to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector
transaction_timestamp translate trim_array trim_scale ts_headline ts_rank ts_rank_cd unaccent unistr unnest
upper_inc websearch_to_tsquery width_bucket word_similarity"""

_MYSQL = """adddate addtime any_value ascii bin bit_and bit_count bit_or bit_xor char charset concat_ws conv convert
convert_tz crc32 curdate curtime date_add date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear
elt export_set field find_in_set format from_days from_unixtime get_format hex hour if inet6_aton inet6_ntoa
inet_aton inet_ntoa interval isnull json_array json_arrayagg json_compact json_contains json_contains_path
json_depth json_exists json_extract json_keys json_length json_merge_patch json_merge_preserve json_object
json_objectagg json_overlaps json_pretty json_query json_quote json_search json_table json_type json_unquote
json_valid json_value last_day lcase localtime localtimestamp locate make_set makedate maketime match md5 median
microsecond mid minute month monthname natural_sort_key now oct ord percentile_cont percentile_disc period_add
period_diff quarter quote rand regexp_instr regexp_like regexp_substr rlike row sec_to_time second sha1 sha2 soundex
space std str_to_date strcmp subdate substring_index subtime sysdate time time_format time_to_sec timediff timestamp
timestampadd timestampdiff to_base64 to_days to_seconds ucase unhex unix_timestamp utc_date utc_time utc_timestamp
week weekday weekofyear weight_string year yearweek"""

_DUCKDB = """age aggregate any_value apply approx_count_distinct approx_quantile approx_top_k arbitrary arg_max
arg_min argmax argmin array_agg array_aggregate array_append array_apply array_cat array_concat array_contains
array_distinct array_extract array_filter array_has array_has_all array_has_any array_indexof array_intersect
array_length array_position array_prepend array_reverse array_slice array_sort array_sum array_to_string
array_transform array_unique array_value ascii bar base64 bit_and bit_count bit_or bit_xor bool_and bool_or
cardinality cbrt century chr columns concat_ws contains corr cosh count_if countif covar_pop covar_samp
damerau_levenshtein date_add date_bin date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc
day dayname dayofmonth dayofweek dayofyear decade element_at ends_with entropy epoch epoch_ms epoch_ns epoch_us era
even exclude extract factorial favg filter first flatten format_bytes from_base64 fsum gcd generate_series
generate_subscripts geomean geometric_mean get_bit grade_up greatest_common_divisor hamming hash hex histogram hour
ilike_escape isfinite isinf isnan isodow isoyear jaccard jaro_similarity jaro_winkler_similarity json json_array
json_contains json_each json_exists json_extract json_extract_path json_extract_path_text json_extract_string
json_group_array json_group_object json_keys json_object json_quote json_type json_valid json_value julian kahan_sum
kurtosis last last_day lcm len levenshtein lgamma like_escape list list_aggr list_aggregate list_any_value
list_append list_apply list_avg list_cat list_concat list_contains list_count list_distinct list_element
list_extract list_filter list_first list_has list_has_all list_has_any list_indexof list_intersect list_last
list_max list_median list_min list_mode list_pack list_position list_prepend list_reduce list_resize list_reverse
list_reverse_sort list_select list_slice list_sort list_string_agg list_sum list_transform list_unique list_value
list_where list_zip listagg mad make_date make_time make_timestamp map map_contains map_entries map_extract
map_from_entries map_keys map_values max_by md5 mean median microsecond millennium millisecond min_by minute mode
month monthname nanosecond nfc_normalize not_ilike_escape not_like_escape now ord parse_path percentile_cont
percentile_disc prefix product quantile quantile_cont quantile_disc quarter random range reduce regexp_extract
regexp_extract_all regexp_full_match regexp_matches regexp_split_to_array regexp_split_to_table regr_avgx regr_avgy
regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile round_even row sem sha256
skewness split split_part starts_with stem str_split str_split_regex strftime string_split string_split_regex
string_to_array strip_accents strlen strptime struct struct_extract struct_insert struct_pack substring_grapheme
suffix sumkahan tanh time_bucket timezone timezone_hour timezone_minute to_base64 to_days to_hours to_json
to_microseconds to_milliseconds to_minutes to_months to_seconds to_timestamp to_weeks to_years today transform
translate trim_scale try_cast try_strptime typeof unbin unhex unicode unnest unpivot_list url_decode url_encode week
weekday weekofyear year yearweek"""

_CLICKHOUSE = """accuratecastornull adddays addhours addminutes addmonths addquarters addseconds addweeks addyears
age any anyheavy anylast argmax argmin array arrayall arrayavg arraycompact arrayconcat arraycount arraycumsum
arraydifference arraydistinct arrayelement arrayenumerate arrayenumerateuniq arrayexists arrayfill arrayfilter
arrayfirst arrayfirstindex arrayflatten arrayintersect arrayjoin arraylast arraymap arraymax arraymin arraypopback
arraypopfront arrayproduct arraypushback arraypushfront arrayreduce arrayresize arrayreverse arrayreversesort
arrayslice arraysort arraystringconcat arraysum arrayuniq arrayzip assumenotnull avgweighted bitand bitnot bitor
bitxor boundingratio cbrt char concatwithseparator corr countequal countsubstrings covarpop covarsamp covar_pop
covar_samp date_add date_bin date_diff date_sub date_trunc datediff datename datetime datetrunc dateadd datesub
dayofmonth dayofweek dayofyear deltasum empty endswith exponentialmovingaverage extractall extractallgroups
first_value formatdatetime formatreadablequantity formatreadablesize formatreadabletimedelta fromunixtimestamp
grouparray grouparrayinsertat grouparraymovingavg grouparraymovingsum groupbitand groupbitor groupbitxor
groupuniqarray has hasall hasany hassubstr hex histogram hour identity if ilike indexof intdiv intdivorzero
intervallengthsum isfinite isinfinite isnan isnotnull isnull jsonextract jsonextractarrayraw jsonextractbool
jsonextractfloat jsonextractint jsonextractkeys jsonextractkeysandvalues jsonextractraw jsonextractstring
jsonextractuint jsonhas jsonlength jsontype json_query json_value kurtpop kurtsamp laginframe last_value leadinframe
lengthutf8 like lowerutf8 map mapadd mapcontains mapfromarrays mapkeys mapsubtract mapvalues match max2 median
medianexact min2 minus minute modulo monday month multiif multiply negate ngramdistance normalizeutf8nfc notempty
numbers notilike notin notlike now nullif ornull parsedatetime parsedatetimebesteffort parsedatetimebesteffortornull
plus positioncaseinsensitive positionutf8 quantile quantileexact quantileexactweighted quantiles quantiletdigest
quantiletiming quarter rand range rankcorr regexpextract regexp_extract replaceall replaceone replaceregexpall
replaceregexpone reverseutf8 roundbankers row_number runningdifference second sequencecount sequencematch
simplelinearregression skewpop skewsamp splitbychar splitbynonalpha splitbyregexp splitbystring splitbywhitespace
startswith stddevpop stddevsamp str_to_date substringindex substringutf8 subtractdays subtracthours subtractminutes
subtractmonths subtractquarters subtractseconds subtractweeks subtractyears summap sumkahan timeslot timezoneoffset
toboolean tobool tochar todate todate32 todatetime todatetime64 todayofmonth todayofweek todayofyear today
todecimal32 todecimal64 todecimal128 tofixedstring tofloat32 tofloat64 tofloat64ornull tofloat64orzero tohour
toint128 toint16 toint256 toint32 toint32ornull toint32orzero toint64 toint64ornull toint64orzero toint8
tointervalday tointervalhour tointervalminute tointervalmonth tointervalquarter tointervalsecond tointervalweek
tointervalyear toisoweek toisoyear tolastdayofmonth tominute tomonday tomonth tonullable toquarter torelativedaynum
torelativemonthnum torelativeweeknum torelativeyearnum tosecond tostartofday tostartoffifteenminutes
tostartoffiveminutes tostartofhour tostartofinterval tostartofisoyear tostartofminute tostartofmonth
tostartofquarter tostartofsecond tostartoftenminutes tostartofweek tostartofyear tostring totime totimezone
totypename touint16 touint32 touint64 touint8 tounixtimestamp touuid toweek toyear toyearweek toyyyymm toyyyymmdd
topk topkweighted transform trimboth trimleft trimright tuple tupleelement unhex uniq uniqcombined uniqexact
uniqhll12 uniqthetasketch unix_timestamp upperutf8 varpop varsamp width_bucket windowfunnel year yesterday"""
# What may follow the name of an aggregate function of ClickHouse.
_COMBINATORS = ("if", "ornull", "ordefault", "distinct", "array", "map")

FUNCTIONS: dict[Dialect, frozenset[str]] = {
    Dialect.SQLITE: frozenset(listed(f"{_COMMON} {_SQLITE}")) - {"repeat", "lpad", "rpad"},
    Dialect.POSTGRESQL: frozenset(listed(f"{_COMMON} {_POSTGRESQL}")),
    Dialect.MYSQL: frozenset(listed(f"{_COMMON} {_MYSQL}")),
    Dialect.DUCKDB: frozenset(listed(f"{_COMMON} {_DUCKDB}")),
    Dialect.CLICKHOUSE: frozenset(listed(f"{_COMMON} {_CLICKHOUSE}")),
    Dialect.MONGODB: frozenset(listed(f"{_COMMON} date_part date_trunc now to_char to_date"))
    - {"repeat", "lpad", "rpad"},
}
"""Names in lower case."""

# Words that stand before a parenthesis without calling anything.
_SYNTAX = """all and any array as asc at between by case collate cross cube desc distinct else end escape except
exclude exists fetch filter following for from full group grouping having ilike in inner intersect interval is
isnull join lateral left like limit materialized minus natural not notnull null offset on only or order outer over
partition preceding qualify recursive regexp right rollup rows select sets similar some then to union unnest
repeatable using values when where window with within xor sample tablesample pivot unpivot anti semi asof prewhere
final"""
# Types with arguments. Several are functions of the same harmless effect.
_TYPES = """bigint binary bit blob boolean bpchar char character datetime date32 datetime64 dec decimal decimal32
decimal64 decimal128 decimal256 double enum enum8 enum16 fixed fixedstring float int int8 int16 int32 int64 integer
list lowcardinality map nchar nullable number numeric nvarchar nested real set signed smallint string text time
timestamp timestamptz tinyint tuple uint8 uint16 uint32 uint64 unsigned varbinary varbit varchar varying float32
float64"""
PLAIN = frozenset(listed(f"{_SYNTAX} {_TYPES}"))
"""Unquoted words that may stand before a parenthesis: syntax and types, in lower case."""
SAMPLES = frozenset({"system", "bernoulli", "reservoir"})
"""Words that may stand there after TABLESAMPLE or USING SAMPLE."""


def allowed(name: str, dialect: Dialect) -> bool:
    """Whether a function of that name may be called."""
    lower = name.lower()
    known = FUNCTIONS[dialect]
    if lower in known:
        return True
    return dialect is Dialect.CLICKHOUSE and any(
        lower.endswith(end) and lower.removesuffix(end) in known for end in _COMBINATORS
    )
