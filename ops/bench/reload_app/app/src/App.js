import React from 'react';
import { SafeAreaView, StatusBar } from 'react-native';
import { Provider } from 'react-redux';
import { store } from './store';
import { Basket } from './screens/Basket';
import { Orders } from './screens/Orders';
import { Shop } from './screens/Shop';

export default function App() {
  const [screen, setScreen] = React.useState('shop');
  const Screen = { shop: Shop, basket: Basket, orders: Orders }[screen];
  return (
    <Provider store={store}>
      <StatusBar barStyle="dark-content" />
      <SafeAreaView>
        <Screen open={setScreen} />
      </SafeAreaView>
    </Provider>
  );
}
