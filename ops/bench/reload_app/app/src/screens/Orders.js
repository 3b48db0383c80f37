import React from 'react';
import { Text } from 'react-native';
import { dayOf } from '../dates';
import { inEuros } from '../money';
import { Row } from './Row';

export function Orders({ open }) {
  return (
    <>
      <Text>Orders of {dayOf(new Date())}</Text>
      <Row title="Nothing yet" detail={inEuros(0)} />
      <Row title="Back" detail="‹" onPress={() => open('shop')} />
    </>
  );
}
