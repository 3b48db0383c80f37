import { addDays, format } from 'date-fns';
import moment from 'moment';

export const dayOf = (time) => format(time, 'EEEE d MMMM');

export const deliveryOf = (time) => moment(addDays(time, 3)).calendar();
