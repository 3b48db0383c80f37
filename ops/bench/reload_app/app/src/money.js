import { round, sumBy } from 'lodash';

export const inEuros = (cents) => `€ ${round(cents / 100, 2).toFixed(2)}`;

export const totalOf = (lines) => sumBy(lines, (line) => line.cents * line.count);
