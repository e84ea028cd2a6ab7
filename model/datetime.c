/* Dates of the API: see datetime_parse() in payload.h for the accepted forms. */
#include "model/payload.h"

struct text {
	const char *at;
	const char *end;
};

/* Exactly n digits. */
static bool take_number(struct text *t, int n, int *out)
{
	int v = 0;
	if (t->end - t->at < n)
		return false;
	for (int i = 0; i < n; i++) {
		char c = *t->at++;
		if (c < '0' || c > '9')
			return false;
		v = v * 10 + (c - '0');
	}
	*out = v;
	return true;
}

static bool take_char(struct text *t, char c)
{
	if (t->at == t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

static bool leap_year(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	return days[month - 1] + (month == 2 && leap_year(year));
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar. Years begin in March here, so that the
 * leap day is the last one; year 0 of this count is far enough back to keep all numbers
 * positive. */
static int64_t days_since_1970(int year, int month, int day)
{
	int64_t y = year - (month < 3) + 400;
	int64_t m = (month + 9) % 12;
	int64_t days_before = y * 365 + y / 4 - y / 100 + y / 400;
	int64_t days_in_year = (m * 153 + 2) / 5 + day - 1;
	return days_before + days_in_year - 719468 - 146097;
}

static bool take_date(struct text *t, int64_t *days)
{
	int year, month, day;
	if (!take_number(t, 4, &year) || !take_char(t, '-') || !take_number(t, 2, &month) ||
	    !take_char(t, '-') || !take_number(t, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
		return false;
	*days = days_since_1970(year, month, day);
	return true;
}

/* The digits after the point, as microseconds. */
static bool take_fraction(struct text *t, int64_t *micros)
{
	int64_t unit = 100000;
	if (t->at == t->end || *t->at < '0' || *t->at > '9')
		return false;
	for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
		*micros += unit * (*t->at - '0');
		unit /= 10;
	}
	return true;
}

static bool take_zone(struct text *t, int64_t *offset_minutes)
{
	int hours, minutes;
	if (take_char(t, 'Z') || take_char(t, 'z'))
		return true;
	bool west = t->at < t->end && *t->at == '-';
	if (!take_char(t, '+') && !take_char(t, '-'))
		return false;
	if (!take_number(t, 2, &hours) || !take_char(t, ':') || !take_number(t, 2, &minutes))
		return false;
	if (hours > 23 || minutes > 59)
		return false;
	*offset_minutes = (hours * 60 + minutes) * (west ? -1 : 1);
	return true;
}

bool datetime_parse(const char *s, size_t n, int64_t *micros)
{
	struct text t = {s, s + n};
	int64_t days, fraction = 0, offset_minutes = 0;
	int hour = 0, minute = 0, second = 0;
	if (!take_date(&t, &days))
		return false;
	if (t.at != t.end) {
		if (!take_char(&t, 'T') && !take_char(&t, 't') && !take_char(&t, ' '))
			return false;
		if (!take_number(&t, 2, &hour) || !take_char(&t, ':') ||
		    !take_number(&t, 2, &minute))
			return false;
		if (take_char(&t, ':')) {
			if (!take_number(&t, 2, &second))
				return false;
			if (take_char(&t, '.') && !take_fraction(&t, &fraction))
				return false;
		}
		if (t.at != t.end && !take_zone(&t, &offset_minutes))
			return false;
	}
	if (t.at != t.end || hour > 23 || minute > 59 || second > 60)
		return false;
	int64_t minutes = days * 1440 + hour * 60 + minute - offset_minutes;
	if (second == 60) {
		if ((minutes % 1440 + 1440) % 1440 != 1439)
			return false;
		fraction = 0;
	}
	*micros = (minutes * 60 + second) * 1000000 + fraction;
	return true;
}
