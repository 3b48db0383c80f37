import React from 'react';
import { FlatList, Text } from 'react-native';
import { useDispatch } from 'react-redux';
import { fetchProducts } from '../api';
import { inEuros } from '../money';
import { added } from '../store';
import { Row } from './Row';

export function Shop({ open }) {
  const dispatch = useDispatch();
  const [products, setProducts] = React.useState([]);
  React.useEffect(() => {
    fetchProducts().then(setProducts);
  }, []);
  return (
    <>
      <Text>Fresh from the farm</Text>
      <FlatList
        data={products}
        renderItem={({ item }) => (
          <Row
            title={item.name}
            detail={inEuros(item.cents)}
            onPress={() => dispatch(added(item))}
          />
        )}
      />
      <Row title="Basket" detail="›" onPress={() => open('basket')} />
      <Row title="Orders" detail="›" onPress={() => open('orders')} />
    </>
  );
}
