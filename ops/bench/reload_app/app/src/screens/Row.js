import React from 'react';
import { Pressable, StyleSheet, Text } from 'react-native';

export function Row({ title, detail, onPress }) {
  return (
    <Pressable style={styles.row} onPress={onPress}>
      <Text style={styles.title}>{title}</Text>
      <Text>{detail}</Text>
    </Pressable>
  );
}

const styles = StyleSheet.create({
  row: { flexDirection: 'row', justifyContent: 'space-between', padding: 12 },
  title: { fontWeight: '600' },
});
