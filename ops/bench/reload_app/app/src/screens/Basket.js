import React from 'react';
import { Text } from 'react-native';
import { useDispatch, useSelector } from 'react-redux';
import { sendOrder } from '../api';
import { deliveryOf } from '../dates';
import { inEuros, totalOf } from '../money';
import { cleared } from '../store';
import { Row } from './Row';

export function Basket({ open }) {
  const dispatch = useDispatch();
  const lines = useSelector((state) => state.basket.lines);
  const order = async () => {
    await sendOrder(lines);
    dispatch(cleared());
    open('orders');
  };
  return (
    <>
      {lines.map((line) => (
        <Row key={line.id} title={line.name} detail={`${line.count} × ${inEuros(line.cents)}`} />
      ))}
      <Text>Delivery {deliveryOf(new Date())}</Text>
      <Row title="Order now" detail={inEuros(totalOf(lines))} onPress={order} />
      <Row title="Back" detail="‹" onPress={() => open('shop')} />
    </>
  );
}
