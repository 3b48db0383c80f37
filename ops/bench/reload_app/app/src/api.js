import axios from 'axios';

const client = axios.create({ baseURL: 'https://shop.example/api', timeout: 10000 });

export const fetchProducts = async () => (await client.get('/products')).data;

export const sendOrder = async (lines) => (await client.post('/orders', { lines })).data;
